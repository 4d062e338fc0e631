"""The machine's records: tasks, their earlier attempts, events. The row is the truth.

`rev` grows with every change of any task; the reporter and the pages follow it. This module
reads; `worker.moves` changes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence, Sized
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Self

from peewee import (
    SQL,
    AutoField,
    IntegerField,
    Model,
    PeeweeException,
    SqliteDatabase,
    TextField,
)

from relay.protocol import Status

# IMMEDIATE, because a transaction that reads first and writes later fails at once when
# another process wrote in between, whatever the busy timeout is.
database = SqliteDatabase(None, lock_type="IMMEDIATE", returning_clause=True)


class UTCField(TextField):
    """An aware UTC time, stored as `2026-11-22 13:06:01.123456`: readable, and sorts as text."""

    def db_value(self, value: datetime | None) -> str | None:
        return None if value is None else _as_text(value)

    def python_value(self, value: str | None) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)


def _as_text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(" ", "microseconds").removesuffix("+00:00")


class Table(Model):
    """What happens to every task goes past peewee's queries: those write their SQL anew each time,
    which takes twenty times as long as SQLite takes to run it (measured: 1 300 µs against 60)."""

    class Meta:
        database = database

    @classmethod
    def run(cls, text: str, *values: object) -> list[Self]:
        """The rows that the SQL *text* gives, in which `*` stands for every column of this table
        and each `?` for one of *values*. All of them are fetched: SQLite commits a statement with
        RETURNING when it has been read to its end."""
        found = database.execute_sql(cls._spelled(text), [_stored(value) for value in values])  # type: ignore[no-untyped-call]  # peewee's stubs lack it
        return [cls._of(row) for row in found.fetchall()]

    @classmethod
    @cache
    def _spelled(cls, text: str) -> str:
        return text.replace("*", ", ".join(cls._meta.sorted_field_names))

    @classmethod
    @cache
    def _times(cls) -> Sequence[tuple[str, UTCField]]:
        return [(field.name, field) for field in cls._meta.sorted_fields if type(field) is UTCField]

    @classmethod
    def _of(cls, row: Sequence[Any]) -> Self:  # Any: what a column holds
        # Past peewee's setters: calling one for each column takes longer than SQLite's part.
        made = cls(__no_default__=True)
        made.__data__ = dict(zip(cls._meta.sorted_field_names, row, strict=True))
        for name, field in cls._times():
            made.__data__[name] = field.python_value(made.__data__[name])
        return made


def _stored(value: object) -> object:
    """*value* as SQLite takes it. Half a surrogate pair, as in a file name that is no UTF-8, is
    replaced: that a text is odd must not keep a result from being written down."""
    if isinstance(value, datetime):
        return _as_text(value)
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def placeholders(values: Sized) -> str:
    """A `?` for each of *values*, for `IN (…)`."""
    return ", ".join("?" * len(values))


class Task(Table):
    """One command and what became of it. The first nine columns are documented for users."""

    id = TextField(unique=True)
    action_type = TextField()
    status = TextField(default=Status.PENDING.value)
    input_data = TextField()  #: the parameters, JSON
    output_data = TextField(null=True)  #: stdout, stderr, returncode, headline, JSON
    error = TextField(null=True)  #: one sentence for people
    created_at = UTCField()
    started_at = UTCField(null=True)
    completed_at = UTCField(null=True)

    seq = AutoField()  #: names the output files, orders the pages
    reason = TextField(null=True)
    title = TextField(null=True)  #: the request in the user's words
    project = TextField(null=True)
    directory = TextField(null=True)  #: where it runs, a real path
    scope = TextField(null=True)  #: what the policy had to allow
    lane = TextField(null=True)  #: what it must hold alone while it runs
    preview = TextField()  #: what runs, in one line, for people
    caller = TextField()
    digest = TextField()  #: tells a repeated command from another one under the same id
    attempt = IntegerField(default=1)
    said_at = UTCField(null=True)  #: when it was asked for, on the steady clock
    expires_at = UTCField()
    approval = TextField(null=True)  #: why a person must say yes first
    fingerprint = TextField(null=True)  #: stands for exactly what would run
    approved = TextField(null=True)  #: the fingerprint to which a person said yes
    owner = TextField(null=True)  #: which worker runs it
    stop_attempt = IntegerField(null=True)  #: the attempt that somebody asked to stop
    rev = IntegerField(index=True)
    reported_rev = IntegerField(default=0)

    class Meta:
        table_name = "tasks"
        indexes = ((("status", "seq"), False), (("action_type", "status", "seq"), False))


COLUMNS: tuple[str, ...] = tuple(Task._meta.sorted_field_names)  # noqa: SLF001 - peewee's way to name them
DEFAULTS: dict[str, Any] = Task._meta.get_default_dict()  # type: ignore[no-untyped-call]  # noqa: SLF001 - as above

Task.add_index(SQL("CREATE INDEX IF NOT EXISTS tasks_unreported ON tasks (rev) WHERE reported_rev < rev"))
Task.add_index(
    SQL("CREATE INDEX IF NOT EXISTS tasks_lane ON tasks (lane, seq) WHERE status IN ('pending', 'running')")
)


class Attempt(Table):
    """An earlier attempt of a task that was run again."""

    task_id = TextField()
    attempt = IntegerField()
    status = TextField()
    reason = TextField(null=True)
    error = TextField(null=True)
    output_data = TextField(null=True)
    started_at = UTCField(null=True)
    completed_at = UTCField(null=True)

    class Meta:
        table_name = "attempts"
        indexes = ((("task_id", "attempt"), True),)


class Event(Table):
    """A webhook that is no command: a push at GitHub, an insight from a conversation."""

    id = AutoField()
    delivery_id = TextField(unique=True)
    event = TextField()
    caller = TextField()
    payload = TextField()
    received_at = UTCField()

    class Meta:
        table_name = "events"


STORE_ERRORS = (PeeweeException, sqlite3.Error)
"""What reading or writing a database of ours may raise; the queue's file speaks plain sqlite3."""


class CannotOpen(Exception):
    """The records cannot be used: wrong place, damaged, or written by a newer version."""


def output_dir() -> Path:
    """The folder beside the records that holds what every attempt printed."""
    return Path(database.database).with_suffix(".output")


def output_path(task: Task, attempt: int | None = None) -> Path:
    """The append-only file with what an attempt (default: the latest) printed, as UTF-8; it may
    not exist. Its name is made of numbers, never of the caller's id."""
    return output_dir() / f"{task.seq}-{attempt or task.attempt}.log"


def get(task_id: str) -> Task | None:
    """The task, or None."""
    found = Task.run("SELECT * FROM tasks WHERE id = ?", task_id)
    return found[0] if found else None


def unreported(limit: int, started_before: datetime | None = None) -> list[Task]:
    """Tasks with news that the relay has not got, oldest news first; of those that run, only the
    ones that started before *started_before*: most end before anybody could hear that they run."""
    return Task.run(UNREPORTED, started_before, limit)


# In the very words of the partial index, so that SQLite uses it. '9' comes after every time.
UNREPORTED = """SELECT * FROM tasks WHERE reported_rev < rev
AND (status != 'running' OR started_at < coalesce(?, '9')) ORDER BY rev LIMIT ?"""


def with_status(*statuses: Status) -> list[Task]:
    """Tasks in these statuses, oldest first."""
    among = f"status IN ({placeholders(statuses)}) ORDER BY seq"
    return Task.run(f"SELECT * FROM tasks WHERE {among}", *statuses)  # noqa: S608 - our own words


def is_stop_asked(task: Task) -> bool:
    """Whether somebody asked to stop the attempt that *task* shows."""
    return bool(Task.run("SELECT * FROM tasks WHERE id = ? AND stop_attempt = ?", task.id, task.attempt))


def load() -> tuple[int, int]:
    """How many tasks run, and how many wait for a free worker."""
    return _count(Status.RUNNING), count_pending()


def count_pending() -> int:
    """How many tasks wait to be started."""
    return _count(Status.PENDING)


def _count(status: Status) -> int:
    found = database.execute_sql("SELECT count(*) FROM tasks WHERE status = ?", [status])  # type: ignore[no-untyped-call]  # as above
    return int(found.fetchone()[0])


def latest_rev() -> int:
    """The newest `rev`; 0 without tasks. Cheap: pages ask it several times a second."""
    found = database.execute_sql("SELECT max(rev) FROM tasks")  # type: ignore[no-untyped-call]  # as above
    return found.fetchone()[0] or 0


NEXT_REV = "(SELECT coalesce(max(rev), 0) + 1 FROM tasks)"
"""The number of the next change, as SQL: it is taken inside the writing statement."""
