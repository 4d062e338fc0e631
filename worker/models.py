"""The machine's records: tasks, their earlier attempts, events. The row is the truth.

`rev` grows with every change of any task; the reporter and the pages follow it. This module
reads; `worker.moves` changes.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from peewee import (
    SQL,
    AutoField,
    Field,
    FloatField,
    IntegerField,
    Model,
    OperationalError,
    PeeweeException,
    SqliteDatabase,
    TextField,
    fn,
)

from relay.protocol import Status

SCHEMA_VERSION = 1
PATIENCE_S = 5.0

# IMMEDIATE, because a transaction that reads first and writes later fails at once when
# another process wrote in between, whatever the busy timeout is.
database = SqliteDatabase(None, lock_type="IMMEDIATE", returning_clause=True)


class UTCField(Field):
    """An aware UTC time, stored as `2026-11-22 13:06:01.123456`: readable, and sorts as text."""

    field_type = "TEXT"

    def db_value(self, value: datetime | None) -> str | None:
        return None if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")

    def python_value(self, value: str | None) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)


class _Table(Model):
    class Meta:
        database = database


class Task(_Table):
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
    preview = TextField()  #: what runs, in one line, for people
    caller = TextField()
    digest = TextField()  #: tells a repeated command from another one under the same id
    attempt = IntegerField(default=1)
    expires_at = UTCField()
    owner = TextField(null=True)  #: which worker runs it
    stop_attempt = IntegerField(null=True)  #: the attempt that somebody asked to stop
    rev = IntegerField(index=True)
    reported_rev = IntegerField(default=0)

    class Meta:
        table_name = "tasks"
        indexes = ((("status", "seq"), False),)


Task.add_index(SQL("CREATE INDEX IF NOT EXISTS tasks_unreported ON tasks (rev) WHERE reported_rev < rev"))


class Attempt(_Table):
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


class Event(_Table):
    """A webhook that is no command: a push at GitHub, an insight from a conversation."""

    id = AutoField()
    delivery_id = TextField(unique=True)
    event = TextField()
    caller = TextField()
    payload = TextField()
    received_at = UTCField()

    class Meta:
        table_name = "events"


class Boot(_Table):
    """What the wall clock said when the machine was started, once for each start of it."""

    id = TextField(primary_key=True)
    origin = FloatField()

    class Meta:
        table_name = "boots"


STORE_ERRORS = (PeeweeException, sqlite3.Error)
"""What reading or writing a database of ours may raise; the queue's file speaks plain sqlite3."""


class CannotOpen(Exception):
    """The records cannot be used: wrong place, damaged, or written by a newer version."""


def open_database(path: Path) -> None:
    """Open the records at *path* for this process, and make them when they are not there.

    FULL, because an acknowledgement lets the relay forget the command. The opening thread's
    connection stays open: closing the last one of a WAL file costs milliseconds.
    Raises CannotOpen."""
    database.init(
        str(path),
        pragmas={"journal_mode": "wal", "synchronous": "full", "busy_timeout": 5_000},
    )
    try:
        _connect()
        path.chmod(0o600)
        version = database.pragma("user_version")
        if version < SCHEMA_VERSION:
            with database.atomic():
                database.create_tables([Task, Attempt, Event, Boot])
                database.pragma("user_version", SCHEMA_VERSION)
    except PeeweeException as problem:
        raise CannotOpen(f"the records in {path} cannot be used ({problem})") from None
    if version > SCHEMA_VERSION:
        raise CannotOpen(
            f"{path} has schema {version} and this program knows {SCHEMA_VERSION}; update ai-webhook"
        )


def _connect() -> None:
    # Turning a fresh file to WAL fails at once, whatever the busy timeout is, when another process
    # does the same; listener, worker and viewer do on a first start.
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            database.connect(reuse_if_open=True)
        except OperationalError as problem:
            if "locked" not in str(problem) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def output_dir() -> Path:
    """The folder beside the records that holds what every attempt printed."""
    return Path(database.database).with_suffix(".output")


def output_path(task: Task, attempt: int | None = None) -> Path:
    """The append-only file with what an attempt (default: the latest) printed, as UTF-8; it may
    not exist. Its name is made of numbers, never of the caller's id."""
    return output_dir() / f"{task.seq}-{attempt or task.attempt}.log"


def get(task_id: str) -> Task | None:
    """The task, or None."""
    found: Task | None = Task.get_or_none(Task.id == task_id)
    return found


def unreported(limit: int, started_before: datetime | None = None) -> list[Task]:
    """Tasks with news that the relay has not got, oldest news first; of those that run, only the
    ones that started before *started_before*: most end before anybody could hear that they run."""
    # The bare SQL lets SQLite use the partial index on the same words.
    query = Task.select().where(SQL("reported_rev < rev")).order_by(Task.rev).limit(limit)
    if started_before is not None:
        query = query.where((Task.status != Status.RUNNING) | (Task.started_at < started_before))
    return list(query)


def with_status(*statuses: Status) -> Iterable[Task]:
    """Tasks in these statuses, oldest first."""
    found: Iterable[Task] = Task.select().where(Task.status.in_(statuses)).order_by(Task.seq)
    return found


def is_stop_asked(task: Task) -> bool:
    """Whether somebody asked to stop the attempt that *task* shows."""
    asked = (Task.id == task.id) & (Task.stop_attempt == task.attempt)
    return bool(Task.select(Task.seq).where(asked).exists())


def load() -> tuple[int, int]:
    """How many tasks run, and how many wait for a free worker."""
    running = Task.select().where(Task.status == Status.RUNNING).count()
    return running, Task.select().where(Task.status == Status.PENDING).count()


def origin_of(boot: str, proposed: float) -> float:
    """The wall clock at the start of the machine called *boot*: what the first asker proposed."""
    Boot.insert(id=boot, origin=proposed).on_conflict_ignore().execute()
    return Boot.get_by_id(boot).origin


def latest_rev() -> int:
    """The newest `rev`; 0 without tasks. Cheap: pages ask it several times a second."""
    return Task.select(fn.MAX(Task.rev)).scalar() or 0


def next_rev() -> Any:  # Any: peewee's expressions have no common type
    """The number of the next change, as an expression: it is taken inside the writing statement."""
    newest = Task.alias()
    return newest.select(fn.COALESCE(fn.MAX(newest.rev), 0) + 1)
