"""The queue: a doorbell that carries a task id. The only module that knows Huey.

The row is the truth. Huey deletes a message before it is handled, so a message may get lost
or come twice; both are harmless, because a task is claimed in its row.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import select
import signal
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from huey.api import Huey
from huey.registry import Message
from huey.serializer import Serializer
from huey.storage import SqliteStorage

from worker.models import STORE_ERRORS, CannotOpen

LOOK_S = 1.0
"""Workers look at the table this often even if no wake-up came."""
STOP_S = 1.5
"""How long a stopping worker lets running tasks finish before it interrupts them."""


class Queue:
    """Rings for tasks, from any process; and answers the bell, in the worker."""

    def __init__(self, path: Path) -> None:
        """Open the queue at *path*, and make it when it is not there. Raises models.CannotOpen."""
        self._run: Callable[[str], None] | None = None
        try:
            self._huey = Huey(
                "ai-webhook",
                results=False,
                serializer=_JSONSerializer(),
                storage_class=_WakingStorage,
                filename=str(path),
            )
        except (OSError, *STORE_ERRORS) as problem:
            raise CannotOpen(f"the queue in {path} cannot be used ({problem})") from None
        self._huey.task(name="run_task")(self._answer)
        self._task_class = next(iter(self._huey._registry._registry.values()))  # noqa: SLF001

    def ring(self, task_id: str) -> None:
        """There is something to do, or to tell, about *task_id*. Call it after the row is written."""
        self._huey.enqueue(self._task_class((task_id,), id=task_id))

    def is_empty(self) -> bool:
        return bool(self._huey.pending_count() == 0)

    def clear(self) -> None:
        """Forget every message; the rows know what waits."""
        self._huey.flush()

    def consume(self, run: Callable[[str], None], workers: int) -> None:
        """Call `run(task_id)` for each ring on *workers* threads, until SIGTERM or SIGINT."""
        self._run = run
        logging.getLogger("huey").setLevel(logging.WARNING)
        consumer = self._huey.create_consumer(
            workers=workers,
            worker_type="thread",
            periodic=False,
            scheduler_interval=60,
            graceful_signal="TERM",
            shutdown_timeout=STOP_S,
        )
        # A terminal that was closed ends it in order, like SIGTERM. Huey would begin anew in this process,
        # which the guardian takes for a dead worker's.
        consumer._signal_actions[signal.SIGHUP] = consumer._signal_actions[signal.SIGTERM]  # noqa: SLF001
        consumer.run()

    def _answer(self, task_id: str) -> None:
        assert self._run is not None
        self._run(task_id)


class _JSONSerializer(Serializer):  # type: ignore[misc]  # Huey has no types
    """JSON instead of pickle: reading a queue file must never run what is in it."""

    def _serialize(self, data: Any) -> bytes:
        return json.dumps(list(data)).encode()

    def _deserialize(self, data: bytes) -> Any:
        return Message(*json.loads(data))


class _WakingStorage(SqliteStorage):  # type: ignore[misc]  # Huey has no types
    """SQLite that waits for a byte in a named pipe instead of sleeping between looks.

    Enqueue commits first and writes the byte second, so no wake-up can be missed: the byte stays
    in the pipe until a worker reads it. Without a reader nobody waits, and the byte is not needed."""

    blocking = True

    def __init__(self, name: str, filename: str, **kwargs: Any) -> None:
        self._pipe_path = f"{filename}.wake"
        self._pipe: int | None = None
        self._waiting = threading.local()
        super().__init__(name, filename=filename, **kwargs)
        Path(filename).chmod(0o600)
        with suppress(FileExistsError):
            os.mkfifo(self._pipe_path, 0o600)

    def _create_connection(self) -> Any:
        connection = super()._create_connection()
        # The rows are what must survive a power cut; messages are rung again from them.
        connection.execute("pragma synchronous=1")
        return connection

    def enqueue(self, data: bytes, priority: float | None = None) -> None:
        super().enqueue(data, priority)
        try:
            pipe = os.open(self._pipe_path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as problem:
            if problem.errno not in {errno.ENXIO, errno.ENOENT}:
                raise
            return
        try:
            with suppress(BlockingIOError):
                os.write(pipe, b"!")
        finally:
            os.close(pipe)

    # Huey keeps here which tasks were revoked, looks before each one and deletes behind it, in a
    # transaction of its own. Nobody revokes here: the row says whether there is something to run.
    def peek_many(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:  # noqa: ARG002 - there are none
        return {}

    def delete_data(self, key: bytes) -> bool:  # noqa: ARG002 - as above
        return False

    def dequeue(self) -> Any:
        found = super().dequeue()
        if found is None:
            self._wait()
            found = super().dequeue()
        return found

    def _wait(self) -> None:
        if self._pipe is None:
            # Read and write, so that the pipe never reports an end when a writer goes away.
            self._pipe = os.open(self._pipe_path, os.O_RDWR | os.O_NONBLOCK)
        if not hasattr(self._waiting, "until_it_rings"):
            self._waiting.until_it_rings = _poll_of(self._pipe)
        if self._waiting.until_it_rings():
            with suppress(BlockingIOError):
                os.read(self._pipe, 1)


def _poll_of(pipe: int) -> Callable[[], object]:
    """For one thread: waits up to LOOK_S, and tells whether there is something in *pipe*."""
    if not hasattr(select, "EPOLLEXCLUSIVE"):
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        return lambda: poll.poll(LOOK_S * 1_000)
    # Of all threads that wait, one is woken by one ring; the others would only be in its way.
    epoll = select.epoll()
    epoll.register(pipe, select.EPOLLIN | select.EPOLLEXCLUSIVE)
    return lambda: epoll.poll(LOOK_S)
