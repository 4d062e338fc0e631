"""One thread owns the relay's database; whatever waits is committed together.

An fsync costs as much as the work around it, so requests that arrive while one is under way
share the next (group commit): no lingering, and no answer before its row is on disk.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MAX_BATCH = 256


class Unavailable(Exception):
    """The database took nothing: the disk is full, the file is locked or damaged."""


class Database(Protocol):
    """What the thread needs from a peewee database."""

    def connect(self) -> object: ...
    def close(self) -> object: ...
    def connection(self) -> Any: ...
    def atomic(self) -> Any: ...  # peewee's context managers carry no common type


class Writer:
    """Runs functions inside transactions on its own thread and answers after the commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Commit what was handed in, then close the database."""
        self._jobs.put(None)
        self._thread.join()

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(*args, **kwargs)` in the next transaction; return once that is on disk.

        Raises what *work* raises (its changes alone are undone), or Unavailable when the
        transaction as a whole failed."""
        job = _Job(lambda: work(*args, **kwargs), asyncio.get_running_loop())
        self._jobs.put(job)
        return await job.answer

    def _work(self) -> None:
        self._database.connect()
        is_stopping = False
        while not is_stopping and (job := self._jobs.get()) is not None:
            batch = [job]
            is_stopping = self._collect(batch)
            self._commit(batch)
        self._database.close()

    def _collect(self, batch: list[_Job[Any]]) -> bool:
        """Take along what already waits. Returns whether it was asked to stop."""
        while len(batch) < MAX_BATCH:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return True
            batch.append(job)
        return False

    def _commit(self, batch: list[_Job[Any]]) -> None:
        try:
            with self._database.atomic():
                connection = self._database.connection()
                for job in batch:
                    # A savepoint each: one bad row must not fail its neighbours' webhooks.
                    job.attempt(connection)
        except Exception as problem:  # noqa: BLE001 - whatever failed the commit failed all of them
            first = _first(problem)
            way_out = "make room on its disk first" if "disk is full" in str(first) else "send it again"
            why = f"The relay could not store it ({first}); {way_out}"
            for job in batch:
                job.error = Unavailable(why)
        batch[0].loop.call_soon_threadsafe(_answer, batch)


def _first(problem: BaseException) -> BaseException:
    """What went wrong before all that went wrong because of it: a full disk, and not the roll-back that
    SQLite had done by itself."""
    while problem.__context__ is not None:
        problem = problem.__context__
    return problem


class _Job(Generic[T]):
    def __init__(self, work: Callable[[], T], loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.answer: asyncio.Future[T] = loop.create_future()
        self.result: T
        self.error: Exception | None = None

    def attempt(self, connection: Any) -> None:  # Any: the driver's, as `Database` has it
        try:
            # Not peewee's own: a random name makes SQLite read the statement anew each time.
            connection.execute("SAVEPOINT job")
            self.result = self.work()
            connection.execute("RELEASE job")
        except Exception as problem:
            # It travels to the caller, who knows its types.
            self.error = problem
            # A full disk makes SQLite undo the whole transaction by itself. What came after that
            # would be kept piece by piece, while its callers are told that it is not.
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")


def _answer(batch: list[_Job[Any]]) -> None:
    for job in batch:
        if job.answer.cancelled():
            continue
        if job.error is not None:
            job.answer.set_exception(job.error)
        else:
            job.answer.set_result(job.result)
