"""The door for assistants, by the official client in both eras of the protocol."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from mcp.types import CallToolResult

from relay import tools
from tests.chain import API_KEY, MACHINE_KEY
from tests.relay.assistants import ERAS, GARDEN, HOUSE, assistant, obedient, run
from tests.relay.conftest import SECOND_KEY, Served, serve
from worker.actions.base import Action

CALLS: dict[str, dict[str, Any]] = {
    "list_projects": {},
    "repo_status": {"project": "garden"},
    "run_git": {"project": "The Green One", "command": ["log", "-1"], "title": "what was last?"},
    "run_shell": {"project": "garden", "name": "test", "values": {"path": "tests"}},
    "ask_claude_code": {"project": "house", "prompt": "What is this?", "mode": "plan"},
    "get_task": {"task_id": "t"},
    "list_tasks": {"status": "completed", "limit": 3},
    "cancel_task": {"task_id": "waits"},
    "retry_task": {"task_id": "failed"},
}


def said(result: Any) -> str:
    """What a refused call says to the model."""
    assert isinstance(result, CallToolResult)
    assert result.is_error, result
    return str(result.content[0].text)  # type: ignore[union-attr]


def post(relay: Served, body: Any, **headers: str) -> httpx.Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    own = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    return relay.http.post("/mcp", content=raw, headers={**own, **headers})


class WordCount(Action):
    """An action that somebody added; a parameter is called as one of another tool."""

    project: str
    file: str
    mode: Literal["fast", "slow"] = "fast"


LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@pytest.mark.parametrize("era", ERAS)
def test_every_tool_is_listed_and_can_be_called(relay: Served, era: str) -> None:
    relay.command(task_id="t")
    relay.command(task_id="failed")
    relay.report("failed", status="failed", reason="exit_status")

    async def main() -> None:
        async with assistant(relay, era) as client:
            listed = (await client.list_tools()).tools
            assert [tool.name for tool in listed] == list(CALLS)
            for tool in listed:
                result = await client.call_tool(tool.name, CALLS[tool.name])
                assert isinstance(result, CallToolResult)
                assert not result.is_error, result
                shown = result.structured_content
                assert shown is not None
                assert shown["summary"]
                assert shown["next_step"]
                assert json.loads(result.content[0].text) == shown  # type: ignore[union-attr]

    def says(data: dict[str, Any]) -> str:
        return "" if data["task_id"] in {"waits", "failed"} else "done"

    with obedient(relay, GARDEN, HOUSE, says=says) as asked:
        relay.command(task_id="waits")
        run(main())
    params = [frame["payload"]["data"].get("params") for frame in asked if frame["event"] == "task_command"]
    assert params[-4:] == [
        {"command": ["git", "status"], "project": "garden"},
        {"command": ["git", "log", "-1"], "project": "garden"},
        {"name": "test", "values": {"path": "tests"}, "project": "garden"},
        {"prompt": "What is this?", "mode": "plan", "isolation": "none", "project": "house"},
    ]
    assert {frame["caller"] for frame in asked} == {"phone"}


def test_the_tools_are_made_of_what_the_machines_allow_also_while_they_sleep(relay: Served) -> None:
    async def main() -> None:
        async with assistant(relay) as client:
            listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert "run_shell" not in listed
        fields = {name: tool.input_schema["properties"] for name, tool in listed.items()}
        assert fields["repo_status"]["project"]["enum"] == ["cellar", "house"]
        assert fields["ask_claude_code"]["project"]["enum"] == ["house"]
        assert fields["ask_claude_code"]["mode"]["enum"] == ["plan"]
        assert set(listed["ask_claude_code"].input_schema["required"]) == {"prompt", "project", "mode"}
        assert all("machine" not in its for its in fields.values()), "there is one machine only"
        # Git and Claude Code can only look there, so that an app need not ask its user each time.
        changing = {name for name, tool in listed.items() if not tool.annotations.read_only_hint}  # type: ignore[union-attr]
        assert changing == {"cancel_task", "retry_task"}

    cellar = {**HOUSE, "name": "cellar", "claude": []}
    with relay.machine(greet=False) as machine:
        machine.greet(projects=[HOUSE, cellar])
        run(main())
    run(main())


def test_an_action_that_somebody_added_is_a_tool_of_its_own(relay: Served) -> None:
    schema = WordCount.model_json_schema()
    count = {"name": "word_count", "description": "Count words.", "parameters": schema}
    # It cannot take the place of a tool of ours, and its words are its own.
    impostor = {**count, "name": "get_task"}

    async def main() -> None:
        async with assistant(relay) as client:
            listed = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert listed["get_task"].description != "Count words."
            fields = listed["word_count"].input_schema["properties"]
            assert fields["project"]["enum"] == ["garden"]
            assert fields["mode"]["enum"] == ["fast", "slow"]
            assert "working_dir" not in fields
            assert listed["word_count"].input_schema["required"] == ["file", "project"]
            call = {"file": "a", "mode": "fast", "project": "garden", "request_id": "only-this-once"}
            for duplicate in (False, True):
                result: Any = await client.call_tool("word_count", call)
                assert result.structured_content["duplicate"] == duplicate
                assert result.structured_content["output"] == "done"
            for wrong, sentence in (
                ({"file": "a", "project": 5}, "project"),
                ({"file": "a", "project": "house"}, "house does not allow that; these do: garden"),
                ({"file": "a", "path": "/"}, "not path"),
            ):
                assert sentence in said(await client.call_tool("word_count", wrong))

    with obedient(relay, {**GARDEN, "allow": ["word.count"]}, HOUSE, actions=[count, impostor]) as asked:
        run(main())
    assert [frame["payload"]["data"]["params"] for frame in asked] == [
        {"file": "a", "mode": "fast", "project": "garden"}
    ]


def test_a_machine_that_never_said_what_it_allows_may_be_asked_for_everything(relay: Served) -> None:
    async def main() -> None:
        async with assistant(relay) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == list(CALLS)
            result = await client.call_tool("repo_status", {"project": "whatever"})
            assert result.structured_content["waiting_for"] == "offline"  # type: ignore[union-attr,index]

    run(main())


@pytest.mark.parametrize(
    ("tool", "arguments", "answer"),
    [
        ("repo_status", {"project": "moon"}, "There is no project 'moon'; there are: garden, house"),
        ("run_shell", {"project": "house", "command": "ls"}, "house does not allow that; these do: garden"),
        ("run_git", {"project": "garden"}, "The arguments are not valid: command is missing"),
        ("run_git", {"project": "garden", "comand": ["log"]}, "not comand"),
        ("ask_claude_code", {"prompt": "x", "mode": "wild"}, "mode"),
        ("get_task", {"task_id": "none"}, "There is no task 'none'; list_tasks shows those there are"),
        ("cancel_task", {"task_id": "ended"}, "completed already"),
        ("retry_task", {"task_id": "ended"}, "Only failed and cancelled tasks run again"),
        ("list_tasks", {"limit": 1_000}, "limit"),
        ("make_coffee", {}, "There is no tool 'make_coffee'; there are list_projects"),
    ],
)
def test_a_refusal_is_a_sentence_for_the_model(
    relay: Served, tool: str, arguments: dict[str, Any], answer: str
) -> None:
    relay.command(task_id="ended")
    relay.report("ended")

    async def main() -> None:
        async with assistant(relay) as client:
            sentence = said(await client.call_tool(tool, arguments))
        assert answer in sentence
        assert "Error executing" not in sentence

    with relay.machine(greet=False) as machine:
        machine.greet(projects=[GARDEN, HOUSE])
    run(main())


def test_a_call_that_is_repeated_with_its_request_id_runs_once(relay: Served) -> None:
    async def main() -> None:
        async with assistant(relay) as client:
            call = {"command": ["push"], "project": "garden", "request_id": "first-of-all"}
            first = (await client.call_tool("run_git", call)).structured_content  # type: ignore[union-attr]
            again = (await client.call_tool("run_git", call)).structured_content  # type: ignore[union-attr]
            assert again["task_id"] == first["task_id"]  # type: ignore[index]
            assert (first["duplicate"], again["duplicate"]) == (False, True)  # type: ignore[index]
            other = await client.call_tool("run_git", {**call, "command": ["pull"]})
            assert "used before" in said(other)
            for _ in range(2):
                await client.call_tool("retry_task", {"task_id": "failed", "request_id": "only-once-please"})

    relay.command(task_id="failed")
    relay.report("failed", status="failed", reason="exit_status")
    run(main())
    assert relay.rows("SELECT count(*) FROM tasks WHERE action_type = 'git' AND task_id != 'failed'") == [
        (1,)
    ]
    assert [event for event, *_ in relay.state("failed")].count("task_retry") == 1
    assert relay.task("failed")["attempt"] == 2


def test_a_call_that_takes_longer_answers_with_the_handle(
    relay: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "WAIT_S", 0.2)

    async def main() -> None:
        async with assistant(relay) as client:
            result = await client.call_tool("repo_status", {"project": "garden"})
            shown: Any = result.structured_content  # type: ignore[union-attr]
            assert shown["status"] == "pending"
            assert shown["next_step"].startswith(f"Call get_task with task_id {shown['task_id']}")

    with obedient(relay, GARDEN, says=lambda _: ""):
        run(main())


def test_on_several_machines_it_is_asked_which_one(two_machines: Served) -> None:
    with two_machines.machine(greet=False) as laptop, two_machines.machine(SECOND_KEY, greet=False) as tower:
        laptop.greet(projects=[GARDEN])
        tower.greet(projects=[GARDEN, HOUSE])

    async def main() -> None:
        async with assistant(two_machines) as client:
            both = await client.call_tool("repo_status", {"project": "garden"})
            assert "laptop and tower; say which as machine" in said(both)
            for elsewhere in ({"project": "garden", "machine": "desktop"}, {"machine": "desktop"}):
                nowhere = await client.call_tool("repo_status", elsewhere)
                assert said(nowhere) == "No machine 'desktop' is known; there is laptop, tower"
            missing = await client.call_tool("repo_status", {"project": "house", "machine": "laptop"})
            assert said(missing) == "There is no project 'house' on laptop; there are: garden"
            for arguments in ({"project": "garden", "machine": "tower"}, {"project": "house"}):
                result = await client.call_tool("repo_status", arguments)
                assert result.structured_content["machine"] == "tower"  # type: ignore[union-attr,index]

    run(main())


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_only_post_is_answered(shared: Served, method: str) -> None:
    answer = shared.http.request(method, "/mcp")
    assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS, POST")
    assert shared.http.post("/mcp/", follow_redirects=False).status_code == 404, "a redirect would go to http"


@pytest.mark.parametrize(
    "body",
    [
        {}, {"jsonrpc": "2.0", "id": 1}, {**LIST, "params": "x"}, {**LIST, "jsonrpc": "1.0"},
        {**LIST, "method": 1}, b"", b"[]", b"x",
    ],
)  # fmt: skip
def test_what_is_no_message_gets_a_sentence(shared: Served, body: Any) -> None:
    answer = post(shared, body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, -32700 if isinstance(body, bytes) else -32600)
    assert "pydantic" not in answer.text
    assert len(error["message"]) < 150
    if isinstance(body, dict):
        assert post(shared, error["message"].partition("such as ")[2].encode()).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "", "application/json-seq"])
def test_a_body_of_another_type_gets_a_sentence(shared: Served, kind: str) -> None:
    answer = post(shared, LIST, **{"Content-Type": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert "application/json" in answer.json()["detail"]
    assert post(shared, LIST, **{"Content-Type": "application/json; charset=utf-8"}).status_code == 200


@pytest.mark.parametrize(("key", "status"), [("fake-wrong-key-0000", 401), (MACHINE_KEY, 403)])
def test_strangers_and_machines_are_refused(shared: Served, key: str, status: int) -> None:
    answer = post(shared, LIST, **{"X-API-Key": key})
    assert answer.status_code == status
    assert post(shared, LIST).status_code == 200, "a key in X-API-Key is as good as a bearer"


def test_an_address_that_the_relay_does_not_know_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with serve(tmp_path, PUBLIC_URL="https://relay.example") as relay:
        for host in (
            "evil.example",
            "127.0.0.1.evil.example",
            "relay.example.evil.example",
            "localhost.x:80",
        ):
            answer = post(relay, LIST, Host=host)
            assert (answer.status_code, answer.json()["code"]) == (421, "wrong_host")
            assert "PUBLIC_URL" in answer.json()["detail"]
        for host in ("relay.example", "relay.example:443", "localhost:8000", "127.0.0.1"):
            assert post(relay, LIST, Host=host).status_code == 200
        assert post(relay, LIST, Origin="https://evil.example").status_code == 403
        assert post(relay, LIST, Origin="https://relay.example").status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400), (b"[]", 400), (b"\xff", 400), (b'{"a": NaN}', 400), (b'{"a": "\\u0000"}', 400),
        (b'{"a": "\\ud800"}', 400), (b'{"a":' * 100_000, 400), (b'{"a": "' + b"x" * 1_048_576 + b'"}', 413),
        (b'{"jsonrpc": "2.0"}', 400), (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call"}', 200),
    ],
)  # fmt: skip
def test_nonsense_is_the_callers_mistake(shared: Served, body: bytes, status: int) -> None:
    answer = post(shared, body)
    assert answer.status_code == status, answer.text
    if status == 200:
        assert '"error"' in answer.text


@pytest.mark.parametrize(("name", "status"), [("list_projects  ", 200), ("list_tasks", 400)])
def test_blanks_round_the_value_of_a_header_do_not_count(shared: Served, name: str, status: int) -> None:
    meta = {"protocolVersion": "2026-07-28", "clientCapabilities": {}}
    named = {f"io.modelcontextprotocol/{one}": value for one, value in meta.items()}
    call = {**LIST, "method": "tools/call", "params": {"name": "list_projects", "_meta": named}}
    headers = {
        "X-API-Key": API_KEY, "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": name,
    }  # fmt: skip
    # httpx refuses to send such a header.
    with closing(HTTPConnection("127.0.0.1", shared.port, timeout=10)) as connection:
        connection.request("POST", "/mcp", json.dumps(call), headers)
        assert connection.getresponse().status == status


def test_a_caller_may_knock_as_often_as_the_rate_limit_says(tmp_path: Path) -> None:
    with serve(tmp_path, RATE_LIMIT_PER_MINUTE="3") as relay:
        assert [post(relay, LIST).status_code for _ in range(4)] == [200, 200, 200, 429]


def test_what_assistants_are_told_is_short_and_names_every_tool(shared: Served) -> None:
    async def main() -> None:
        async with assistant(shared, "legacy") as client:
            assert client.instructions
            assert len(client.instructions) <= 512, "some read no more"
            assert client.instructions in text
            for tool in (await client.list_tools()).tools:
                assert f"- {tool.name}(" in text
                assert str(tool.description) in text
        assert len(text) < 4_000

    text = httpx.get(f"{shared.address}/llm-instructions", trust_env=False).raise_for_status().text
    run(main())


def test_several_assistants_that_come_at_once_are_all_served(relay: Served) -> None:
    async def main() -> None:
        async def one(era: str) -> None:
            async with assistant(relay, era) as client:
                assert (await client.list_tools()).tools

        await asyncio.gather(*(one(era) for era in ERAS * 4))

    run(main())


def test_each_call_is_made_in_the_name_of_its_own_key(tmp_path: Path) -> None:
    keys = {"phone": API_KEY, "ci": "fake-second-api-key-for-tests-00"}

    async def main(relay: Served) -> None:
        async def one(era: str, name: str) -> None:
            async with assistant(relay, era, keys[name]) as client:
                for _ in range(3):
                    await client.call_tool("run_git", {"command": ["log"], "title": name})

        await asyncio.gather(*(one(era, name) for era in ERAS for name in keys for _ in range(2)))

    with serve(tmp_path, API_KEY=",".join(f"{name}={key}" for name, key in keys.items())) as relay:
        run(main(relay))
        assert relay.rows("SELECT count(*), sum(caller = title) FROM tasks") == [(24, 24)]


def test_a_relay_that_nobody_asks_by_mcp_does_not_load_it() -> None:
    look = "import sys, relay.app; sys.exit('mcp' in sys.modules)"
    root = str(Path(tools.__file__).parent.parent)
    assert subprocess.run([sys.executable, "-c", look], cwd=root, check=False).returncode == 0


def test_the_key_that_came_is_in_no_log(relay: Served, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        post(relay, LIST)
        post(relay, LIST, **{"X-API-Key": "fake-wrong-key-0000"})
    assert API_KEY not in caplog.text
    assert "fake-wrong-key-0000" not in caplog.text
