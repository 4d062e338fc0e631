"""Claude Code, asked from afar: seen while it works, stopped, cut off with the worker, and continued."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.chain import API_KEY, Chain, children_of, is_alive, wait_until
from tests.claude_cli import find_claude, owner
from tests.messages_api import Api, says, uses
from worker.actions.claude_code.cli import TESTED


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
    assert re.search(r"^session [0-9a-f-]{36} ", task["output"])
    api.plays(says("I go on."))
    chain.sign_in()
    page = chain.get(f"{chain.viewer}/t/watch").text
    following = press(chain, page, "follow-up", words="Go on").headers["Location"].removeprefix("/t/")
    its = f"{chain.viewer}/api/task/{following}"
    wait_until(lambda: chain.get(its).json()["status"] == "completed", "it goes on with one form")
    assert "Watch the note" in api.texts()


def test_on_a_branch_of_its_own_it_holds_up_nobody_and_nothing_is_lost_when_the_worker_dies(
    chain: Chain, api: Api
) -> None:
    policy = chain.folder / "policy.toml"
    policy.write_text(policy.read_text().replace("parallel = true\n", ""))
    api.plays(
        uses("Write", file_path="half.txt", content="half of it\n"),
        uses("Bash", command="tail -f docs/note.txt"),
        says("Done."),
    )
    apart = {"prompt": "Mend it", "mode": "edit", "isolation": "worktree"}
    chain.command("claude_code", apart, task_id="mend", wait=0)
    wait_until(lambda: "▸ Bash tail" in chain.task("mend")["output"], "it works")
    assert chain.command("shell", {"command": "ls"})["status"] == "completed"
    chain.kill("worker")
    chain.start("worker")
    assert chain.final(["mend"])["mend"]["reason"] == "interrupted"
    row = chain.get(f"{chain.viewer}/api/task/mend").json()
    shown = {"command": ["git", "show", f"agent/{row['output_data']['session_id'][:8]}:half.txt"]}
    assert chain.command("git", shown)["output"] == "half of it\n"
    assert not (chain.project / "half.txt").exists()
    assert list((chain.folder / "tasks.output" / "worktrees").iterdir()) == []


def asking(chain: Chain, api: Api, task_id: str) -> str:
    """Let it ask for a file to be written; the page of the task, with its question."""
    chain.sign_in()
    target = chain.project / "made.txt"
    api.plays(uses("Write", file_path=str(target), content="allowed\n"), says("It is written."))
    chain.command("claude_code", {"prompt": "Write it", "mode": "ask"}, task_id=task_id, wait=0)
    return wait_until(
        lambda: "May it use Write now?" in (page := chain.get(f"{chain.viewer}/t/{task_id}").text) and page,
        "its question is shown",
    )


def press(chain: Chain, page: str, button: str, **words: str) -> httpx.Response:
    found = re.search(rf'<form[^>]* action="([^"]+/{button})"[^>]*>(.*?)</form>', page, re.DOTALL)
    assert found
    fields = re.findall(r'name="([^"]+)" value="([^"]*)"', found[2])
    return chain.press(found[1], {**{name: html.unescape(value) for name, value in fields}, **words})


def test_the_relay_knows_which_claude_code_is_there_and_that_it_is_logged_in(chain: Chain) -> None:
    def told() -> object:
        (laptop,) = chain.get(f"{chain.relay}/machines", {"X-API-Key": API_KEY}).json()["machines"]
        return laptop["agents"]

    known = {"name": "claude_code", "version": TESTED, "logged_in": True}
    wait_until(lambda: told() == [known], "it is told within seconds")


def test_what_it_asks_is_seen_from_afar_and_allowed_on_the_machine_only(chain: Chain, api: Api) -> None:
    page = asking(chain, api, "write")
    assert html.escape(str(chain.project / "made.txt")) in page
    assert "allowed\n" in page
    asked = wait_until(
        lambda: "allow this" in (task := chain.task("write"))["summary"] and task, "it is told"
    )
    assert (asked["status"], asked["waiting_for"]) == ("running", None)
    assert asked["summary"] == "It waits for somebody to allow this on the machine: Write made.txt."
    assert asked["next_step"].startswith("Tell the user to allow or deny it in the viewer on ")
    assert "? waits for Allow in the viewer on this machine: Write made.txt" in asked["output"]
    assert press(chain, page, "allow").status_code == 303
    task = chain.final(["write"])["write"]
    assert (task["status"], (chain.project / "made.txt").read_text()) == ("completed", "allowed\n")
    assert "It is written." in task["summary"]
    assert press(chain, page, "allow").status_code == 409


def test_when_the_worker_dies_while_it_asks_nothing_lives_on_and_a_late_yes_does_nothing(
    chain: Chain, api: Api
) -> None:
    page = asking(chain, api, "write")
    working = children_of(chain.processes["worker"].pid)
    chain.kill("worker")
    wait_until(lambda: not [pid for pid in working if is_alive(pid)], "all of it is gone", 5)
    chain.start("worker")
    assert chain.final(["write"])["write"]["reason"] == "interrupted"
    assert press(chain, page, "allow").status_code == 409
    assert "May it use" not in chain.get(f"{chain.viewer}/t/write").text
    assert not (chain.project / "made.txt").exists()
