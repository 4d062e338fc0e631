"""`python -m worker` as a process."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from relay.protocol import Command
from tests import door
from tests.chain import MACHINE_KEY, ROOT, children_of, end, is_alive, wait_until
from worker import __main__ as main
from worker import marks, models, process
from worker.clock import steady_clock
from worker.inbox import Inbox, open_inbox
from worker.marks import marker_of
from worker.settings import Settings


@pytest.fixture
def machine(tmp_path: Path, policy_path: Path) -> Iterator[Inbox]:
    """The machine's inbox on the files that a worker in this folder uses."""
    own = {
        "MACHINE_KEY": MACHINE_KEY,
        "SQLITE_PATH": str(tmp_path / "tasks.db"),
        "QUEUE_URL": str(tmp_path / "queue.db"),
    }
    inbox = open_inbox(Settings.read(own | {"POLICY_PATH": str(policy_path)}))
    yield inbox
    inbox._queue._huey.storage.close()
    models.database.close()
    marks.sweep(marker_of(tmp_path / "tasks.db"))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    begun: list[subprocess.Popen[str]] = []

    def _start(**settings: str) -> subprocess.Popen[str]:
        # Nobody listens on port 9: the relay is away.
        own = {"PYTHONPATH": str(ROOT), "MACHINE_KEY": MACHINE_KEY, "PORT": "9", **settings}
        worker = subprocess.Popen(
            [sys.executable, "-m", "worker"],
            cwd=tmp_path,
            env={**os.environ, **own},
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(worker)
        return worker

    yield _start
    for worker in begun:
        end(worker)
        assert worker.stderr is not None
        worker.stderr.close()


def accept(machine: Inbox, task_id: str, command: str) -> None:
    asked = Command(task_id=task_id, action_type="shell", params={"command": command}, ttl=600)
    door.ask(machine, asked, expires_in=600)


def state(task_id: str) -> tuple[str, str | None]:
    task = models.get(task_id)
    assert task is not None
    return task.status, task.reason


def pid_in(path: Path) -> int:
    return int(wait_until(lambda: path.exists() and path.read_text().strip(), f"{path.name} is written"))


def test_what_was_accepted_before_and_during_its_life_is_run(
    machine: Inbox, start: Callable[..., subprocess.Popen[str]]
) -> None:
    accept(machine, "before", "echo before")
    worker = start()
    wait_until(lambda: state("before")[0] == "completed", "the first is done")
    accept(machine, "during", "echo during")
    wait_until(lambda: state("during")[0] == "completed", "the second is done")
    worker.terminate()
    assert worker.wait(10) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_ends_within_five_seconds_with_every_program_and_says_so(
    machine: Inbox, start: Callable[..., subprocess.Popen[str]], tmp_path: Path, number: signal.Signals
) -> None:
    worker = start()
    accept(machine, "deaf", f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.05; done")
    pid = pid_in(tmp_path / "pid")
    begun = time.monotonic()
    worker.send_signal(number)
    assert worker.wait(10) == 0
    assert time.monotonic() - begun < 5, "honcho kills after five seconds"
    assert not is_alive(pid)
    assert state("deaf") == ("failed", "interrupted")


def test_a_worker_whose_starter_ignored_the_end_of_children_works(
    machine: Inbox, start: Callable[..., subprocess.Popen[str]]
) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # It is inherited.
    try:
        start()
    finally:
        signal.signal(signal.SIGCHLD, before)
    accept(machine, "seven", "exit 7")
    wait_until(lambda: state("seven") == ("failed", "exit_status"), "its exit status is known")


def test_after_a_kill_the_program_ends_at_once_and_the_next_worker_says_so(
    machine: Inbox, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    worker = start()
    accept(machine, "cut", f"echo ran >> {tmp_path}/ledger; echo $$ > {tmp_path}/pid; exec sleep 300")
    pid = pid_in(tmp_path / "pid")
    worker.send_signal(signal.SIGKILL)
    worker.wait(10)
    wait_until(lambda: not is_alive(pid), "the guardian has ended it", 3)
    accept(machine, "next", "true")
    start()
    wait_until(lambda: state("next")[0] == "completed", "the next worker works")
    assert state("cut") == ("failed", "interrupted")
    assert (tmp_path / "ledger").read_text() == "ran\n"


def test_after_a_kill_of_the_guardian_too_the_next_worker_ends_the_program(
    machine: Inbox, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    worker = start()
    accept(machine, "cut", f"echo $$ > {tmp_path}/pid; exec env -i sleep 300")
    pid = pid_in(tmp_path / "pid")
    for child in children_of(worker.pid) - {pid}:
        os.kill(child, signal.SIGKILL)
    end(worker)
    assert is_alive(pid)
    accept(machine, "next", "true")
    start()
    wait_until(lambda: state("next")[0] == "completed", "the next worker works")
    assert state("cut") == ("failed", "interrupted")
    assert not is_alive(pid)


def test_a_worker_stays_small_whatever_a_program_prints(
    machine: Inbox, start: Callable[..., subprocess.Popen[str]]
) -> None:
    worker = start()
    accept(machine, "yes", "exec yes")
    accept(machine, "line", "head -c 50000000 /dev/zero | tr '\\0' x")
    accept(machine, "noise", "head -c 5000000 /dev/urandom; head -c 5000000 /dev/urandom >&2")
    for task_id, expected in (("yes", "failed"), ("line", "completed"), ("noise", "completed")):
        wait_until(lambda task_id=task_id: state(task_id)[0] not in {"pending", "running"}, task_id)
        assert state(task_id)[0] == expected
    status = Path(f"/proc/{worker.pid}/status").read_text()
    assert int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) < 80_000


def test_one_bad_round_of_the_sweep_does_not_end_all_later_ones(
    machine: Inbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Enough(BaseException):
        pass

    rounds = iter([OSError(24, "Too many open files"), sqlite3.OperationalError("locked"), Enough()])

    def look(*_: object) -> None:
        raise next(rounds)

    monkeypatch.setattr(main.recovery, "ring_forgotten", look)
    monkeypatch.setattr(main, "SWEEP_S", 0.0)
    guardian = Mock(spec=process.Guardian)
    with pytest.raises(Enough):
        main._sweep(machine._queue, Settings.read({"MACHINE_KEY": MACHINE_KEY}), guardian, steady_clock())
    assert guardian.look.call_count == 3
    assert "A round of the sweep failed" in caplog.text


def test_a_program_of_an_ordinary_user_cannot_read_the_environment_of_the_worker() -> None:
    """Run by root this becomes somebody else first, for root may read everything."""
    code = """
import ctypes, json, os, sys  # what is imported later cannot be found by everybody
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from relay.hidden import hide
from worker import descendants, marks, process
from worker.environment import environment
if os.getuid() == 0:
    os.setgid(65534), os.setuid(65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # A change of user has hidden it already.
def run(*argv):
    return process.run(argv, cwd=Path("/"), env=environment(), log=Path("/dev/null"),
                       marker="hide.me:1", timeout=10, stop=lambda: False)
descendants.adopt("hide.me")
before = run("cat", f"/proc/{os.getpid()}/environ")
hide()
after = run("cat", f"/proc/{os.getpid()}/environ")
run("/bin/sh", "-c", "env -i setsid sleep 300 >/dev/null 2>&1 &")
print(json.dumps([before.stdout, after.stdout, after.stderr, marks.marked("hide.me")]))
"""
    everything = {**os.environ, "API_KEY": "fake-secret"}
    command = [sys.executable, "-c", code, str(ROOT)]
    done = subprocess.run(command, env=everything, capture_output=True, text=True, timeout=30, check=False)
    before, after, problem, left = json.loads(done.stdout or done.stderr)
    assert "API_KEY=fake-secret" in before, "otherwise this shows nothing"
    assert after == ""
    assert "Permission denied" in problem
    assert left == [], "and what a hidden worker starts is found and ended as ever"


def test_a_second_worker_is_refused_with_one_sentence(
    machine: Inbox, start: Callable[..., subprocess.Popen[str]]
) -> None:
    accept(machine, "t", "true")
    start()
    wait_until(lambda: state("t")[0] == "completed", "the first works")
    second = start()
    _, said = second.communicate(timeout=20)
    assert second.returncode == 1
    assert "Another worker" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"MACHINE_KEY": ""}, "MACHINE_KEY"), ({"WORKERS": "none"}, "WORKERS"),
        ({"QUEUE_URL": "redis://x"}, "QUEUE_URL"),
        ({"SQLITE_PATH": "nowhere/tasks.db"}, "nowhere"), ({"QUEUE_URL": "nowhere/queue.db"}, "nowhere"),
    ],
)  # fmt: skip
def test_a_start_that_cannot_be_is_one_sentence(
    start: Callable[..., subprocess.Popen[str]], settings: dict[str, str], word: str
) -> None:
    worker = start(**settings)
    _, said = worker.communicate(timeout=20)
    assert worker.returncode == 1
    assert word in said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1, said


def test_records_of_a_newer_version_are_refused(
    machine: Inbox, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    file = sqlite3.connect(tmp_path / "tasks.db")
    file.execute("PRAGMA user_version = 99")
    file.close()
    worker = start()
    _, said = worker.communicate(timeout=20)
    assert worker.returncode == 1
    assert "update ai-webhook" in said
    assert "Traceback" not in said
