"""What Claude Code prints, understood; and what its results mean. Pure: no program is started."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.protocol import Reason
from worker.actions.claude_code.agent import Ask, Ended, Kind
from worker.actions.claude_code.outcome import judge
from worker.actions.claude_code.stream import LINE_CHARS, parse
from worker.redact import Redactor

HERE = "/home/a/project"
ASK = Ask("Do it", "review", "11111111-1111-4111-8111-111111111111")


def same(value: Any) -> Any:
    return value


def lines(**event: Any) -> list[tuple[Kind, str]]:
    return [(one.kind, one.text) for one in parse(json.dumps(event), HERE, same)]


def assistant(*blocks: dict[str, Any], **more: Any) -> list[tuple[Kind, str]]:
    return lines(type="assistant", message={"content": list(blocks)}, **more)


def tool(name: str, **params: Any) -> str:
    ((_, text),) = assistant({"type": "tool_use", "name": name, "input": params})
    return text


def test_a_step_is_one_short_line() -> None:
    assert tool("Bash", command="git status\n --short", description="x") == "Bash git status --short"
    assert tool("Edit", file_path=f"{HERE}/src/a.py", old_string="x") == "Edit src/a.py"
    assert tool("Read", file_path=f"{HERE}-twin/a.py") == f"Read {HERE}-twin/a.py"
    assert tool("Grep", pattern="TODO", path="/x") == "Grep TODO"
    assert tool("Unknown", number=5) == "Unknown"
    long = tool("Bash", command="x" * 1_000_000)
    assert (len(long), long[-1]) == (LINE_CHARS, "…")


def test_words_are_kept_whole() -> None:
    text = "One.\n\nTwo " + "x" * 5_000
    assert assistant({"type": "text", "text": text}) == [(Kind.TEXT, text)]
    assert assistant({"type": "text", "text": " \n"}) == []


def test_what_a_tool_said_is_its_first_line() -> None:
    def said(content: Any, **more: Any) -> list[tuple[Kind, str]]:
        return lines(type="user", message={"content": [{"type": "tool_result", "content": content, **more}]})

    assert said("\n\nfirst\nsecond") == [(Kind.DONE, "first")]
    assert said([{"type": "text", "text": "first"}, {"type": "image"}]) == [(Kind.DONE, "first")]
    assert said("bad", is_error=True) == [(Kind.TROUBLE, "bad")]
    missing = "<tool_use_error>Error: No such tool available: Write. Write is disabled.</tool_use_error>"
    assert said(missing, is_error=True) == [
        (Kind.DENIED, "Write"),
        (Kind.TROUBLE, "Error: No such tool available: Write. Write is disabled."),
    ]


def test_news_of_the_system() -> None:
    start = {"session_id": "4033aaaa-b", "model": "opus", "permissionMode": "dontAsk", "tools": ["a", "b"]}
    assert lines(type="system", subtype="init", claude_code_version="2.1.331", **start) == [
        (Kind.SESSION, "session 4033aaaa-b · opus · dontAsk · 2 tools · Claude Code 2.1.331")
    ]
    retry = {"attempt": 1, "max_retries": 4, "retry_delay_ms": 1_049, "error_status": 401, "error": "auth"}
    assert lines(type="system", subtype="api_retry", **retry) == [
        (Kind.NOTICE, "API 401 (auth), retry 1/4 in 1.0 s")
    ]
    assert lines(type="system", subtype="permission_denied", tool_name="Write", message="long advice") == [
        (Kind.NOTICE, "denied Write")
    ]
    assert lines(type="system", subtype="ui_invalidate") == []


def test_what_an_assistant_of_the_assistant_does_is_marked() -> None:
    (event,) = parse(
        json.dumps(
            {
                "type": "assistant",
                "parent_tool_use_id": "toolu_1",
                "message": {"content": [{"type": "text", "text": "x"}]},
            }
        ),
        HERE,
        same,
    )
    assert event.is_nested


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["type", "subtype", "message", "content", "name", "input", "text", "command", "tool_name",
             "permission_denials", "tool_input", "is_error", "model_usage_since_last_result", "costUSD",
             "attempt", "tools", "errors", "result", "session_id", "error_status", "retry_delay_ms"]
        ),
        inner | st.sampled_from(
            ["assistant", "user", "system", "result", "init", "api_retry", "tool_use", "tool_result", "text"]
        ),
        max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["type", "subtype", "message", "result", "errors"]), json_values))
def test_no_line_is_too_strange(event: dict[str, Any]) -> None:
    for one in parse(json.dumps(event), HERE, same):
        assert one.kind is Kind.TEXT or ("\n" not in one.text and len(one.text) <= LINE_CHARS)
        if one.kind is Kind.RESULT:
            verdict = judge(Ended(ASK, [one.data], [], "", 0, ""))
            assert (verdict.ended == "success") is (verdict.error is None)


@given(st.text())
def test_no_text_is_too_strange(line: str) -> None:
    parse(line, HERE, same)
    parse("{" + line, HERE, same)


SECRET = "a-secret-that-this-machine-knows-well"
CLEAN = Redactor([SECRET]).clean_json


@pytest.mark.parametrize("before", range(0, 180, 7))
def test_no_part_of_a_secret_is_left_where_a_line_is_cut(before: int) -> None:
    use = {"type": "tool_use", "name": "Bash", "input": {"command": "x" * before + SECRET}}
    (step,) = parse(json.dumps({"type": "assistant", "message": {"content": [use]}}), HERE, CLEAN)
    request = {"subtype": "can_use_tool", "tool_name": "Bash", "input": use["input"]}
    asks = {"type": "control_request", "request_id": "1", "request": request}
    (asked,) = parse(json.dumps(asks), HERE, CLEAN)
    assert asked.kind is Kind.ASKS
    for shown in (step.text, asked.text):
        assert SECRET[:4] not in shown
    assert asked.data["params"] == use["input"], "what is asked stays what it is"


def test_a_number_without_end_is_none() -> None:
    retry = {"type": "system", "subtype": "api_retry", "retry_delay_ms": 10**400}
    assert "in 0.0 s" in lines(**retry)[0][1]


SUCCESS = {"subtype": "success", "is_error": False, "result": "Done.", "num_turns": 2}


def verdict(*results: dict[str, Any], **more: Any) -> tuple[str, str | None, Reason]:
    options = {"ask": ASK, "denied": [], "text": "words", "returncode": 1, "stderr": "", **more}
    one = judge(Ended(results=results, **options))
    return one.ended, one.error, one.reason


def test_success_is_a_last_result_that_says_so_whatever_the_exit_status() -> None:
    assert verdict(SUCCESS) == ("success", None, Reason.ERROR)
    failed = {**SUCCESS, "is_error": True}
    assert verdict(failed, SUCCESS)[0] == "success"
    assert verdict(SUCCESS, failed)[0] != "success"
    for strange in (
        {},
        {"subtype": "success"},
        {**SUCCESS, "is_error": "false"},
        {**SUCCESS, "subtype": "new"},
    ):
        assert verdict(strange, returncode=0)[0] != "success"


@pytest.mark.parametrize(
    ("result", "word", "sentence"),
    [
        ({"subtype": "error_max_turns", "errors": ["Reached maximum number of turns (30)"]}, "max_turns",
         "after 30 turns, the most that max_turns allowed. Go on with session 1111"),
        ({"subtype": "error_max_budget_usd"}, "max_budget", "used up. Go on with session 1111"),
        ({"subtype": "error_during_execution", "errors": ["No conversation found with session ID: x"]},
         "unknown_session", "leave session out to begin a new one"),
        ({"subtype": "error_during_execution", "errors": ["It fell over."]}, "error", "It fell over. Go on"),
        ({"subtype": "error_during_execution"}, "error", "it did not say why. Go on with session"),
        ({"subtype": "success", "result": "Not logged in · Please run /login"}, "not_logged_in",
         "log in with /login, or give the worker an ANTHROPIC_API_KEY"),
        ({"subtype": "success", "api_error_status": 401, "result": "Invalid API key"}, "api_error_401",
         "(401: Invalid API key); put ANTHROPIC_API_KEY right, or"),
        ({"subtype": "success", "api_error_status": 400, "result": "Credit balance is too low"},
         "api_error_400", "(400: Credit balance is too low); put that right"),
        ({"subtype": "success", "api_error_status": 429, "result": "Slow down"}, "api_error_429",
         "limit is reached (429: Slow down); try again later, with session"),
        ({"subtype": "success", "api_error_status": 529, "result": "API Error: 529 Busy. Check it."},
         "api_error_529",
         "in trouble (529: Busy); try again later"),
        ({"subtype": "success", "api_error_status": None, "result": "Connection error."},
         "api_unreachable", "could not be reached (Connection error); try again later"),
    ],
)  # fmt: skip
def test_every_failure_has_a_word_and_a_sentence_with_the_way_out(
    result: dict[str, Any], word: str, sentence: str
) -> None:
    ended, error, reason = verdict({"is_error": True, **result})
    assert ended == word
    assert error is not None
    assert sentence in error
    assert reason is (Reason.REJECTED if word == "unknown_session" else Reason.ERROR)


def test_the_answer_of_a_failure_is_what_it_had_said_and_not_the_error() -> None:
    failed = {"subtype": "success", "is_error": True, "result": "API Error"}
    assert judge(Ended(ASK, [failed], [], "Half way.", 1, "")).answer == "Half way."
    # It also says its trouble as if the model had said it.
    assert judge(Ended(ASK, [failed], [], "API Error", 1, "")).answer == ""


def test_costs_are_those_of_this_run() -> None:
    def cost(*results: dict[str, Any]) -> float | None:
        return judge(Ended(ASK, results, [], "", 0, "")).cost_usd

    assert cost({**SUCCESS, "total_cost_usd": 5, "cost_usd": 0.5}) == 0.5
    assert cost({**SUCCESS, "cost_usd": 0.5}, {**SUCCESS, "cost_usd": 0.25}) == 0.75
    assert cost({**SUCCESS, "total_cost_usd": 5}, {**SUCCESS, "total_cost_usd": 6}) == 6
    assert cost(SUCCESS) is None
