"""The language itself: statuses and moves, frames, errors for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr, ValidationError, field_validator

from relay.mistakes import explain
from relay.protocol import (
    FINAL,
    MOVES,
    Command,
    Reason,
    Report,
    Status,
    sources,
)
from worker.actions.shell import Shell


def test_every_status_has_a_line_in_the_table_of_moves() -> None:
    assert set(MOVES) == set(Status)
    assert set().union(*MOVES.values()) <= set(Status)


def test_a_task_that_ended_moves_only_by_running_again() -> None:
    assert MOVES[Status.COMPLETED] == frozenset()
    for status in FINAL:
        assert MOVES[status] <= {Status.PENDING, Status.AWAITING_APPROVAL}
    assert {status for status in Status if status.is_final} == FINAL


def test_nothing_runs_that_did_not_wait_and_nothing_completes_that_did_not_run() -> None:
    assert sources(Status.RUNNING) == (Status.PENDING,)
    assert sources(Status.COMPLETED) == (Status.RUNNING,)


@pytest.mark.parametrize("target", Status)
def test_sources_is_the_table_read_backwards(target: Status) -> None:
    assert set(sources(target)) == {status for status in Status if target in MOVES[status]}


def test_from_every_status_that_is_not_final_an_end_can_be_reached() -> None:
    for status in set(Status) - FINAL:
        reached, todo = set[Status](), {status}
        while todo:
            reached |= todo
            todo = set().union(*(MOVES[one] for one in todo)) - reached
        assert reached >= FINAL


@pytest.mark.parametrize("task_id", ["a", "git_status_001", "a.b:c-d_e", "...x", "x" * 128, "-"])
def test_a_task_id_may_be_any_documented_word(task_id: str) -> None:
    assert Command(task_id=task_id, action_type="git").task_id == task_id


@pytest.mark.parametrize(
    "task_id", ["", "x" * 129, "a b", "a/b", "ä", "a\n", "\na", "a%2e", "a?b", "a#b", "a\x00"]
)
def test_a_task_id_that_would_need_escaping_is_refused(task_id: str) -> None:
    with pytest.raises(ValidationError):
        Command(task_id=task_id, action_type="git")


@pytest.mark.parametrize("task_id", [".", ".."])
def test_a_task_id_of_dots_is_refused_because_every_http_client_takes_it_for_a_folder(task_id: str) -> None:
    with pytest.raises(ValidationError):
        Command(task_id=task_id, action_type="git")


@pytest.mark.parametrize("ttl", [0, 0.5, -1, float("nan"), float("inf"), 604_801, "soon"])
def test_a_time_to_live_that_never_or_always_ends_is_refused(ttl: object) -> None:
    with pytest.raises(ValidationError):
        Command.model_validate({"task_id": "a", "action_type": "git", "ttl": ttl})


@pytest.mark.parametrize("name", ["Git", "", "git status", "-git", "x" * 33, "git\n"])
def test_an_action_type_is_a_plain_small_word(name: str) -> None:
    with pytest.raises(ValidationError):
        Command(task_id="a", action_type=name)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rev": 0}, {"rev": 2**63}, {"attempt": 0}, {"status": "done"}, {"reason": "because"},
        {"output": "x" * 20_001}, {"started_at": "2026-01-01T00:00:00"}, {"returncode": 2**32}, {"more": 1},
    ],
)  # fmt: skip
def test_a_report_that_no_machine_of_ours_would_send_is_refused(wrong: dict[str, object]) -> None:
    good = {"task_id": "a", "rev": 1, "attempt": 1, "status": "failed", "reason": "rejected"}
    assert Report.model_validate(good).reason is Reason.REJECTED
    with pytest.raises(ValidationError):
        Report.model_validate({**good, **wrong})


class _Sample(BaseModel, extra="forbid"):
    size: int
    api_key: SecretStr
    github_webhook_secret: str = ""

    @field_validator("api_key", "github_webhook_secret")
    @classmethod
    def _refuse(cls, value: object) -> object:
        raise ValueError("that is not one of ours")


def _explained(**values: object) -> str:
    with pytest.raises(ValidationError) as refused:
        _Sample.model_validate(values)
    return explain(refused.value)


def test_every_mistake_is_named_with_its_field_and_what_was_seen() -> None:
    said = _explained(size="many", api_key="x", colour="red")
    assert "size" in said
    assert "'many'" in said
    assert "colour is not known here" in said
    assert "api_key: that is not one of ours" in said
    assert "size is missing" in _explained(api_key="x")


@given(st.text(st.characters(categories=("L", "N")), min_size=16, max_size=60))
def test_a_key_or_a_secret_is_never_shown(secret: str) -> None:
    assert secret not in _explained(size=1, api_key=secret, github_webhook_secret=secret)


def test_what_is_shown_of_a_long_value_is_short() -> None:
    assert len(_explained(size="x" * 1_000_000, api_key="x")) < 500


def test_what_is_said_about_thousands_of_unknown_fields_is_short() -> None:
    said = _explained(size=1, api_key="x", **{f"field{number}": 1 for number in range(5_000)})
    assert len(said) < 2_000
    assert len(_explained(size=1, api_key="x", **{"long" * 100_000: 1})) < 2_000


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("", "command is empty"),
        ([], "command is empty"),
        (5, "command: a text or a list is needed, not 5"),
        (["x"] * 300, "command has 300 entries, and 200 are allowed"),
    ],
)
def test_a_field_that_takes_several_kinds_says_what_is_wrong_once(command: object, said: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        Shell.model_validate({"command": command})
    assert explain(wrong.value) == said


def test_an_id_of_the_wrong_shape_is_explained_in_words_and_not_by_a_pattern() -> None:
    with pytest.raises(ValidationError) as wrong:
        Command.model_validate({"task_id": "a b", "action_type": "git", "ttl": 1})
    assert explain(wrong.value) == (
        "task_id: use letters, digits and . _ : -, at most 128, and not only dots, not 'a b'"
    )
