"""The queue: a doorbell with a named pipe."""

from __future__ import annotations

import json
import os
import pickle
import select
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.chain import ROOT, end, wait_until
from worker import tasks
from worker.tasks import Queue

CONSUME = """
import sys, threading, time
from pathlib import Path
from worker import tasks
from worker.tasks import Queue
folder, workers, look = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
tasks.LOOK_S = look
lock = threading.Lock()
def run(task_id):
    if task_id == "fail":
        raise LookupError("a fault in what is run")
    if task_id.startswith("slow"):
        time.sleep(float(task_id[4:]))
    with lock, (folder / "ran").open("a") as ran:
        ran.write(f"{task_id}\\n")
(folder / "up").touch()
Queue(folder / "queue.db").consume(run, workers)
(folder / "down").touch()
"""


@contextmanager
def consumer(folder: Path, workers: int = 2, look: float = 30.0) -> Iterator[subprocess.Popen[bytes]]:
    """A process that answers the bell. It looks at the table by itself every *look* seconds only, so
    what runs earlier was woken."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", CONSUME, str(folder), str(workers), str(look)], cwd=ROOT, stderr=log
        )
    try:
        wait_until((folder / "up").exists, "the consumer is up")
        yield process
    finally:
        end(process)


def ran(folder: Path) -> list[str]:
    return (folder / "ran").read_text().split() if (folder / "ran").exists() else []


def test_every_ring_is_answered_at_once_not_at_the_next_look(tmp_path: Path, queue: Queue) -> None:
    with consumer(tmp_path) as process:
        # The first ring may come before the first look of the consumer; the others may not.
        for number in range(30):
            begun = time.monotonic()
            queue.ring(f"t{number}")
            wait_until(lambda n=number: len(ran(tmp_path)) > n, f"ring {number} is answered", 20)
            assert time.monotonic() - begun < 15, "a look, not a wake-up"
        process.terminate()
        assert process.wait(10) == 0
    assert (tmp_path / "down").exists(), "consume returned"
    assert sorted(ran(tmp_path)) == sorted(f"t{number}" for number in range(30))


def test_many_rings_from_many_threads_and_processes_are_each_answered_once(
    tmp_path: Path, queue: Queue
) -> None:
    ring = (
        "import sys; from pathlib import Path; from worker.tasks import Queue\nq = Queue(Path(sys.argv[1]))\n"
    )
    ring += "for n in range(100): q.ring(f'{sys.argv[2]}-{n}')"
    with consumer(tmp_path, workers=4):
        others = [
            subprocess.Popen([sys.executable, "-c", ring, str(tmp_path / "queue.db"), f"p{n}"], cwd=ROOT)
            for n in range(2)
        ]
        threads = [
            threading.Thread(target=lambda t=t: [queue.ring(f"t{t}-{n}") for n in range(50)])
            for t in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [one.wait(30) for one in others] == [0, 0]
        wait_until(lambda: len(ran(tmp_path)) >= 300, "all rings are answered", 25)
        wait_until(queue.is_empty, "nothing is left")
    assert len(ran(tmp_path)) == len(set(ran(tmp_path))) == 300


def test_what_was_rung_while_nobody_was_there_is_answered_later(tmp_path: Path, queue: Queue) -> None:
    for number in range(5):
        queue.ring(f"t{number}")
    assert not queue.is_empty()
    with consumer(tmp_path):
        wait_until(lambda: len(ran(tmp_path)) == 5, "all are answered")


def test_a_fault_in_what_is_run_ends_neither_the_thread_nor_the_process(tmp_path: Path, queue: Queue) -> None:
    with consumer(tmp_path, workers=1) as process:
        for task_id in ("fail", "after"):
            queue.ring(task_id)
        wait_until(lambda: ran(tmp_path) == ["after"], "it goes on")
        assert process.poll() is None


def test_messages_of_somebody_else_do_no_harm(tmp_path: Path, queue: Queue) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {tmp_path}/evil",)

    poison = [
        pickle.dumps(Evil()), b"\xff\x00", b"", b'{"a": 1}', b'["id"]', b"null",
        b'["id", "os.system", null, 0, 0, null, ["touch evil"], {}, null, null, null, null, null]',
    ]  # fmt: skip
    file = sqlite3.connect(tmp_path / "queue.db")
    rows = [(queue._huey.storage.name, data, 0) for data in poison]
    file.executemany("INSERT INTO task (queue, data, priority) VALUES (?, ?, ?)", rows)
    file.commit()
    file.close()
    assert not queue.is_empty()
    with consumer(tmp_path, workers=1) as process:
        queue.ring("after")
        wait_until(lambda: ran(tmp_path) == ["after"], "it goes on")
        wait_until(queue.is_empty, "the poison is gone")
        assert process.poll() is None
    assert not (tmp_path / "evil").exists()


def test_messages_are_json_that_carries_nothing_but_the_id(tmp_path: Path, queue: Queue) -> None:
    queue.ring("t1")
    file = sqlite3.connect(tmp_path / "queue.db")
    ((data,),) = file.execute("SELECT data FROM task").fetchall()
    file.close()
    fields = json.loads(bytes(data))
    assert ["t1"] in fields or [["t1"]] in fields
    assert len(data) < 300


def test_clearing_forgets_every_ring(queue: Queue) -> None:
    for number in range(3):
        queue.ring(f"t{number}")
    queue.clear()
    assert queue.is_empty()


def test_the_files_are_for_their_owner_only(tmp_path: Path, queue: Queue) -> None:
    queue.ring("t1")
    for path in tmp_path.glob("queue.db*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_ISFIFO((tmp_path / "queue.db.wake").stat().st_mode)


def test_ringing_works_without_a_pipe_and_with_a_full_one(tmp_path: Path, queue: Queue) -> None:
    (tmp_path / "queue.db.wake").unlink()
    queue.ring("no pipe")
    os.mkfifo(tmp_path / "queue.db.wake")
    queue.ring("nobody reads")
    reader = os.open(tmp_path / "queue.db.wake", os.O_RDWR | os.O_NONBLOCK)
    try:
        with suppress(BlockingIOError):
            while os.write(reader, b"!" * 4_096):
                """Fill it."""
        queue.ring("full")
        assert len(os.read(reader, 10_000_000)) % 4_096 == 0, "not even one byte more found room"
    finally:
        os.close(reader)
    assert queue._huey.pending_count() == 3


@pytest.mark.skipif(not hasattr(select, "EPOLLEXCLUSIVE"), reason="needs epoll")
def test_one_ring_wakes_one_of_those_who_wait(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "LOOK_S", 60.0)
    woken: list[int] = []
    storage = queue._huey.storage
    waiting = [
        threading.Thread(target=lambda n=number: (storage._wait(), woken.append(n)), daemon=True)
        for number in range(4)
    ]
    for thread in waiting:
        thread.start()

    def is_waiting(thread: threading.Thread) -> bool:
        call = Path(f"/proc/self/task/{thread.native_id}/syscall").read_text().split()[0]
        return call in {"232", "281", "22"}  # epoll_wait and epoll_pwait of x86, epoll_pwait of ARM

    wait_until(lambda: all(map(is_waiting, waiting)), "all wait")
    for number in range(1, 5):
        queue.ring(f"t{number}")
        wait_until(lambda n=number: len(woken) >= n, "somebody is woken")
        assert sum(thread.is_alive() for thread in waiting) >= 4 - number, "and nobody else"
    for thread in waiting:
        thread.join(10)


def test_looking_finds_what_no_byte_announced(
    tmp_path: Path, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "LOOK_S", 0.05)
    storage = queue._huey.storage
    assert storage.dequeue() is None
    (tmp_path / "queue.db.wake").unlink()
    queue.ring("t1")
    assert storage.dequeue() is not None


def test_a_stop_lets_a_short_task_finish(tmp_path: Path, queue: Queue) -> None:
    with consumer(tmp_path) as process:
        queue.ring("slow0.3")
        wait_until(queue.is_empty, "it is being run")
        process.terminate()
        assert process.wait(10) == 0
    assert ran(tmp_path) == ["slow0.3"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_does_not_wait_for_a_long_task(tmp_path: Path, queue: Queue, number: signal.Signals) -> None:
    with consumer(tmp_path) as process:
        queue.ring("slow60")
        wait_until(queue.is_empty, "it is being run")
        process.send_signal(number)
        wait_until((tmp_path / "down").exists, "consume returns", 8)
