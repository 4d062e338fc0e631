"""What a worker does before it works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from relay.protocol import Fetched, Reason, Status
from tests.chain import ROOT, end, wait_until
from tests.worker.conftest import NOW
from worker import fetches, marks, models, moves, recovery
from worker.models import Task
from worker.tasks import Queue

Add = Callable[..., Task]


def rings(queue: Queue) -> list[str]:
    return [message.args[0] for message in queue._huey.pending()]


def test_there_is_one_worker_on_the_records(tmp_path: Path) -> None:
    path = tmp_path / "tasks.lock"
    assert recovery.is_locked(path) is False
    lock = recovery.hold_lock(path)
    assert recovery.is_locked(path) is True
    with pytest.raises(recovery.AlreadyRunning, match=str(path)):
        recovery.hold_lock(path)
    os.close(lock)
    assert recovery.is_locked(path) is False
    os.close(recovery.hold_lock(path))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_lock_ends_with_its_process_even_when_that_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "tasks.lock"
    code = "import sys, time; from pathlib import Path; from worker.recovery import hold_lock\n"
    code += "lock = hold_lock(Path(sys.argv[1])); time.sleep(300)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT)
    try:
        wait_until(lambda: recovery.is_locked(path), "the lock is held")
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
        assert recovery.is_locked(path) is False
    finally:
        end(holder)


def test_what_a_program_inherits_does_not_hold_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "tasks.lock"
    lock = recovery.hold_lock(path)
    child = subprocess.Popen(["sleep", "300"], close_fds=False)
    os.close(lock)
    try:
        assert recovery.is_locked(path) is False
    finally:
        end(child)


def test_looking_whether_a_worker_runs_never_keeps_one_from_starting(tmp_path: Path) -> None:
    path = tmp_path / "tasks.lock"
    look = "import sys; from pathlib import Path; from worker.recovery import is_locked\n"
    look += "while True: is_locked(Path(sys.argv[1])); print(flush=True)"
    looking = subprocess.Popen([sys.executable, "-c", look, str(path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert looking.stdout is not None
    try:
        assert looking.stdout.readline()
        drain = threading.Thread(target=looking.stdout.read)
        drain.start()
        for _ in range(2_000):
            os.close(recovery.hold_lock(path))
    finally:
        end(looking)
        drain.join()
        looking.stdout.close()


def test_the_marker_belongs_to_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = marks.marker_of(tmp_path / "tasks.db")
    assert one == marks.marker_of(tmp_path / "x" / ".." / "tasks.db")
    assert one != marks.marker_of(tmp_path / "other.db")
    monkeypatch.chdir(tmp_path)
    assert one == marks.marker_of(Path("tasks.db"))


def test_a_new_worker_settles_what_an_earlier_one_left(records: Path, queue: Queue, add: Add) -> None:
    for task_id in ("waits", "ran", "done", "also-waits"):
        add(task_id)
    moves.claim("ran", "earlier", NOW)
    done = moves.claim("done", "earlier", NOW)
    assert done is not None
    moves.finish(done, Status.COMPLETED, NOW)
    queue.ring("stale")
    marker = marks.marker_of(records)
    left = subprocess.Popen(["sleep", "300"], env={marks.MARKER: f"{marker}:2-1"}, start_new_session=True)
    other = subprocess.Popen(["sleep", "300"], env={marks.MARKER: "another:2-1"}, start_new_session=True)
    try:
        wait_until(lambda: marks.marked(marker), "the leftover is there")
        recovery.recover(queue, marker, NOW + timedelta(minutes=1))
        assert left.wait(5) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        end(left)
        end(other)
    ran = models.get("ran")
    assert ran is not None
    assert (ran.status, ran.reason, ran.completed_at) == (
        Status.FAILED,
        Reason.INTERRUPTED,
        NOW + timedelta(minutes=1),
    )
    assert rings(queue) == ["waits", "also-waits"]
    assert "ran" in [task.id for task in models.unreported(10)]
    found = models.get("done")
    assert found is not None
    assert found.status == Status.COMPLETED


def test_settling_twice_changes_nothing_more(records: Path, queue: Queue, add: Add) -> None:
    add("waits")
    for _ in range(2):
        recovery.recover(queue, "nothing-has-this-marker", NOW)
    assert rings(queue) == ["waits"]


def test_a_ring_that_was_lost_is_rung_again(records: Path, queue: Queue, add: Add) -> None:
    add("old")
    moves.claim(add("runs").id, "me", NOW)
    recovery.ring_forgotten(queue, lambda: NOW + timedelta(seconds=4))
    assert rings(queue) == [], "its ring may still be on its way"
    recovery.ring_forgotten(queue, lambda: NOW + timedelta(seconds=6))
    assert rings(queue) == ["old"]
    recovery.ring_forgotten(queue, lambda: NOW + timedelta(seconds=60))
    assert rings(queue) == ["old"], "who waits in the queue was not forgotten"


def test_what_callers_were_given_is_forgotten_in_time_too(records: object) -> None:
    day = 86_400
    for name, days in (("old", 40), ("new", 2)):
        fetches.record([Fetched(task_id=name, attempt=1, ago_s=days * day)], NOW)
    recovery.forget(NOW - timedelta(days=30))
    assert [one.task_id for one in fetches.Fetch.select()] == ["new"]
