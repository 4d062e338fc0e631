"""Claude Code, asked from afar: seen while it works, stopped, cut off with the worker, and continued."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chain import Chain, children_of, is_alive, wait_until
from tests.claude_cli import find_claude, owner
from tests.messages_api import Api, says, uses


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as one:
        yield one


@pytest.fixture
def chain(tmp_path: Path, api: Api) -> Iterator[Chain]:
    find_claude()
    with Chain(tmp_path) as one:
        one.environment["worker"] = owner(one.folder, api)
        one.start()
        yield one


def name_of(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def watching(chain: Chain, api: Api, task_id: str) -> set[int]:
    """Let it begin something that does not end; every process that works on it."""
    api.plays(uses("Bash", command="tail -f docs/note.txt"), says("Done."))
    chain.command("claude_code", {"prompt": "Watch the note"}, task_id=task_id, wait=0)
    wait_until(lambda: "▸ Bash tail -f docs/note.txt" in chain.task(task_id)["output"], "its step is seen")
    worker = chain.processes["worker"].pid

    wait_until(lambda: "tail" in map(name_of, children_of(worker)), "its tool runs")
    return children_of(worker)


def test_it_is_seen_while_it_works_and_stopped_with_its_tools(chain: Chain, api: Api) -> None:
    guardian = children_of(chain.processes["worker"].pid)
    working = watching(chain, api, "watch") - guardian
    answer = chain.order("watch", "cancel", wait=20)
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert not [pid for pid in working if is_alive(pid)]
    row = chain.get(f"{chain.viewer}/api/task/watch").json()
    api.plays(says("I saw nothing."))
    again = chain.command(
        "claude_code", {"prompt": "What did you see?", "session": row["output_data"]["session_id"]}
    )
    assert (again["status"], "Watch the note" in api.texts()) == ("completed", True)
    assert "I saw nothing." in again["summary"]


def test_when_the_worker_dies_nothing_of_it_lives_on(chain: Chain, api: Api) -> None:
    working = watching(chain, api, "watch")
    chain.kill("worker")
    wait_until(lambda: not [pid for pid in working if is_alive(pid)], "all of it is gone", 5)
    chain.start("worker")
    task = chain.final(["watch"])["watch"]
    assert task["reason"] == "interrupted"
    session = re.findall(r"^session ([0-9a-f-]{36}) ", task["output"])
    api.plays(says("I go on."))
    again = chain.command("claude_code", {"prompt": "Go on", "session": session[0]})
    assert (again["status"], "Watch the note" in api.texts()) == ("completed", True)
