"""The four real processes together: what a person sees from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chain import API_KEY, ROOT, Chain, is_alive, wait_until

DOCUMENTED = {
    "id",
    "action_type",
    "status",
    "input_data",
    "output_data",
    "error",
    "created_at",
    "started_at",
    "completed_at",
}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with Chain(tmp_path_factory.mktemp("chain")) as one:
        one.start()
        yield one


@pytest.fixture
def own_chain(tmp_path: Path) -> Iterator[Chain]:
    """A chain that may be broken."""
    with Chain(tmp_path) as one:
        yield one


def test_a_webhook_becomes_a_finished_task_that_a_person_sees(chain: Chain) -> None:
    task = chain.command("git", {"command": ["git", "status"]}, task_id="e2e_test", title="How is it going?")
    assert (task["status"], task["returncode"], task["machine_online"]) == ("completed", 0, True)
    assert "On branch main" in task["output"]
    assert task["summary"] == "Done in under a second. On branch main, one file changed and one new file."
    page = chain.get(f"{chain.viewer}/t/e2e_test")
    assert page.status_code == 200
    assert "How is it going?" in page.text
    assert "docs/note.txt" in page.text
    listed = chain.get(f"{chain.viewer}/api/tasks?limit=20").json()["tasks"]
    assert "e2e_test" in [one["id"] for one in listed]


def test_the_documented_query_shows_the_documented_columns(chain: Chain) -> None:
    chain.command("shell", {"command": "echo columns"}, task_id="columns")
    query = "SELECT * FROM tasks WHERE id='columns'"
    shown = subprocess.run(
        ["sqlite3", "-json", "tasks.db", query], cwd=chain.folder, capture_output=True, text=True, check=True
    )
    (row,) = json.loads(shown.stdout)
    assert row.keys() >= DOCUMENTED
    assert (row["status"], json.loads(row["output_data"])["stdout"]) == ("completed", "columns\n")
    assert json.loads(row["input_data"]) == {"command": "echo columns"}


@pytest.mark.parametrize(
    ("action_type", "params", "expected"),
    [
        ("git", {"command": "git log --oneline"}, "Begin with a note"),
        ("git", {"command": ["git", "diff"], "timeout": 10}, "+two"),
        ("git", {"command": ["git", "status", "--short"], "working_dir": "docs"}, "note.txt"),
        ("shell", {"command": "printf '%s' \"$((6 * 7))\""}, "42"),
        ("shell", {"command": ["ls", "docs"], "timeout": 5}, "note.txt"),
        ("shell", {"command": ["pwd"], "working_dir": "PROJECT/docs"}, "/docs"),
        ("shell", {"command": ["pwd"], "project": "AI Webhook"}, "/project"),
    ],
)
def test_documented_payloads_run_unchanged(
    chain: Chain, action_type: str, params: dict[str, object], expected: str
) -> None:
    params = {
        name: str(value).replace("PROJECT", str(chain.project)) if name == "working_dir" else value
        for name, value in params.items()
    }
    task = chain.command(action_type, params)
    assert task["status"] == "completed", task
    assert expected in task["output"]


@pytest.mark.parametrize(
    ("action_type", "params", "reason", "sentence"),
    [
        ("shell", {"command": "exit 3"}, "exit_status", "exit status 3"),
        ("shell", {"command": "sleep 60", "timeout": 0.2}, "timed_out", "longer than 0.2 seconds"),
        ("shell", {"command": ["no-such-program"]}, "rejected", "no-such-program"),
        ("shell", {"command": "ls", "working_dir": "/no/such/place"}, "rejected", "/no/such/place"),
        ("shell", {"command": "ls", "working_dir": "/"}, "rejected", "no project"),
        ("shell", {"command": "ls", "working_dir": "../.."}, "rejected", "goes up"),
        ("shell", {"command": "ls", "project": "garden"}, "rejected", "there is no project 'garden'"),
        ("shell", {"comand": "ls"}, "rejected", "comand"),
        ("git", {"command": ["git", "push", "--force"]}, "rejected", "git push"),
        ("git", {"command": ["git", "log", "--output=/tmp/x"]}, "rejected", "--output"),
        ("dance", {"tune": "polka"}, "rejected", "no action 'dance'"),
        ("claude_code", {"prompt": "Review it", "mode": "full"}, "rejected", "claude.full"),
    ],
)
def test_what_cannot_be_done_ends_as_a_failed_task_with_a_sentence(
    chain: Chain, action_type: str, params: dict[str, object], reason: str, sentence: str
) -> None:
    task = chain.command(action_type, params)
    assert (task["status"], task["reason"]) == ("failed", reason)
    assert sentence.lower() in task["error"].lower()
    assert "Traceback" not in task["error"]
    assert len(task["summary"].split()) <= 25


def test_bad_requests_get_one_clear_sentence_and_nothing_else_happens(chain: Chain) -> None:
    def refused(payload: object, status: int, word: str, headers: dict[str, str] | None = None) -> None:
        answer = chain.post(payload, headers=headers)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert word in answer.json()["detail"]

    command = {
        "type": "task_command",
        "data": {"task_id": "once", "action_type": "shell", "params": {"command": "true"}},
    }
    refused(b"{", 422, "not JSON")
    refused(b"[1]", 422, "list")
    refused(b"[" * 100_000, 422, "nests")
    refused(command, 401, "X-API-Key", headers={})
    refused(command, 401, "not one of", headers={"X-API-Key": "wrong-key-wrong-key-wrong"})
    refused({"type": "task_command"}, 422, "data")
    refused(b'{"type": "task_command", "data": {"action_type": "git", "ttl": NaN}}', 422, "NaN")
    refused(b" " * 1_048_577, 413, "1048576")
    assert chain.post(command).json()["duplicate"] is False
    assert chain.post(command).json()["duplicate"] is True
    command["data"]["params"] = {"command": "false"}  # type: ignore[index]
    refused(command, 409, "once")
    assert chain.task("once")["returncode"] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux a program cannot lose its mark by chance")
def test_a_task_can_neither_press_a_button_nor_get_a_code(chain: Chain) -> None:
    chain.command("shell", {"command": "exit 1"}, task_id="failing")
    press = f"curl -sS -X POST -H 'Origin: {chain.viewer}' {chain.viewer}/t/failing/retry"
    code = f"cd {chain.folder}; env -i PYTHONPATH={ROOT} {sys.executable} -m viewer login"
    pressed = chain.command("shell", {"command": press})
    asked = chain.command("shell", {"command": code})
    assert "Connect this browser first" in pressed["output"]
    assert "A task cannot connect a browser" in asked["output"]
    assert chain.task("failing")["attempt"] == 1


def test_run_again_in_the_viewer_makes_the_next_attempt(chain: Chain) -> None:
    once = "test -e flag && echo found it || { touch flag; exit 1; }"
    task = chain.command("shell", {"command": once}, task_id="again")
    assert (task["status"], task["attempt"]) == ("failed", 1)
    assert chain.run_again("again").status_code == 303
    again = wait_until(
        lambda: (t := chain.task("again", 5))["attempt"] == 2 and t["completed_at"] and t, "attempt 2"
    )
    assert (again["status"], again["output"]) == ("completed", "found it\n")
    assert chain.run_again("again").status_code == 409


def test_a_running_task_shows_its_output_and_can_be_stopped_from_afar(chain: Chain) -> None:
    # The second process has left the group of the first; it has to go as well.
    line = "echo working; setsid sleep 300 & echo $! > child; exec sleep 300"
    chain.command("shell", {"command": line, "timeout": 600}, task_id="long", wait=0)
    wait_until(lambda: chain.task("long")["output"] == "working\n", "what it printed so far")
    assert chain.task("long")["status"] == "running"
    child = int((chain.project / "child").read_text())
    assert is_alive(child)
    answer = chain.order("long", "cancel", wait=20)
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    wait_until(lambda: not is_alive(child), "nothing of it is left", 3)
    assert chain.order("long", "cancel").status_code == 409


def test_a_failed_task_runs_again_from_afar(chain: Chain) -> None:
    once = "test -e far && echo found it || { touch far; exit 1; }"
    assert chain.command("shell", {"command": once}, task_id="far")["status"] == "failed"
    answer = chain.order("far", "retry", wait=20).json()
    assert (answer["status"], answer["attempt"], answer["output"]) == ("completed", 2, "found it\n")
    assert chain.order("far", "retry").status_code == 409


def test_the_machine_is_listed_with_what_it_does(chain: Chain) -> None:
    (machine,) = chain.get(f"{chain.relay}/machines", headers={"X-API-Key": API_KEY}).json()["machines"]
    assert (machine["name"], machine["online"], machine["waiting"]) == ("laptop", True, 0)


def test_what_the_machine_never_got_is_cancelled_at_once(own_chain: Chain) -> None:
    own_chain.start("relay")
    own_chain.command("shell", {"command": "touch started"}, task_id="never", wait=0)
    assert own_chain.task("never")["waiting_for"] == "offline"
    answer = own_chain.order("never", "cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    own_chain.start("listener", "worker")
    own_chain.command("shell", {"command": "echo next"}, task_id="next")
    assert not (own_chain.project / "started").exists()
    assert own_chain.order("never", "retry", wait=20).json()["status"] == "completed"
    assert (own_chain.project / "started").exists()


def test_a_command_waits_at_the_relay_while_the_machine_is_away(own_chain: Chain) -> None:
    own_chain.start("relay")
    task = own_chain.command("shell", {"command": "echo at last"}, wait=0)
    assert (task["status"], task["machine_online"]) == ("pending", False)
    assert "offline" in task["next_step"]
    own_chain.start("listener", "worker")
    assert own_chain.final([task["task_id"]])[task["task_id"]]["output"] == "at last\n"


def _post_many(chain: Chain, ledger: Path, count: int) -> list[str]:
    """Commands that write themselves into a ledger when they are started."""
    line = f"echo $0 >> {ledger}; sleep 0.1"
    ids = [f"job-{number}" for number in range(count)]
    for one in ids:
        chain.command("shell", {"command": ["/bin/sh", "-c", line, one]}, task_id=one, wait=0)
    return ids


def _check_nothing_lost_or_twice(chain: Chain, ids: list[str], ledger: Path, interrupted: int) -> None:
    tasks = chain.final(ids)
    starts = Counter(ledger.read_text().split())
    assert {one: starts[one] for one in ids if starts[one] > 1} == {}
    not_completed = [task for task in tasks.values() if task["status"] != "completed"]
    assert {task["reason"] for task in not_completed} <= {"interrupted"}
    assert len(not_completed) <= interrupted
    completed = [one for one, task in tasks.items() if task["status"] == "completed"]
    assert all(starts[one] == 1 for one in completed)


@pytest.mark.parametrize(
    ("victim", "interrupted"), [("relay", 0), ("listener", 0), ("worker", 4), ("viewer", 0)]
)
def test_killing_a_process_loses_nothing_and_repeats_nothing(
    own_chain: Chain, victim: str, interrupted: int
) -> None:
    own_chain.start()
    ledger = own_chain.folder / "ledger"
    ledger.touch()
    ids = _post_many(own_chain, ledger, 20)
    wait_until(lambda: len(ledger.read_text().split()) >= 4, "some commands have started")
    own_chain.kill(victim)
    own_chain.start(victim)
    _check_nothing_lost_or_twice(own_chain, ids, ledger, interrupted)


def test_everything_stops_within_seconds_and_says_what_was_interrupted(own_chain: Chain) -> None:
    own_chain.start()
    task = own_chain.command("shell", {"command": "echo $$; exec sleep 300"}, wait=0)
    wait_until(
        lambda: (
            own_chain.get(f"{own_chain.viewer}/api/task/{task['task_id']}").json().get("status") == "running"
        ),
        "it runs",
    )
    statuses = own_chain.stop()
    assert statuses["listener"] == statuses["worker"] == statuses["viewer"] == 0
    row = subprocess.run(
        ["sqlite3", "tasks.db", f"SELECT status, reason FROM tasks WHERE id = '{task['task_id']}'"],
        cwd=own_chain.folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert row.stdout.strip() == "failed|interrupted"
