"""The file that holds the records: opened, made when it is absent, refused when it is too new."""

from __future__ import annotations

import time
from pathlib import Path

from playhouse.migrate import SqliteMigrator, migrate

from worker.agents import Found
from worker.clock import Boot
from worker.fetches import Fetch
from worker.models import STORE_ERRORS, Attempt, CannotOpen, Event, Task, database
from worker.questions import Question

SCHEMA_VERSION = 5
PATIENCE_S = 5.0


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
            _bring_up_to_date()
    except STORE_ERRORS as problem:
        raise CannotOpen(f"the records in {path} cannot be used ({problem})") from None
    if version > SCHEMA_VERSION:
        raise CannotOpen(
            f"{path} has schema {version} and this program knows {SCHEMA_VERSION}; update ai-webhook"
        )


def _bring_up_to_date() -> None:
    """Make the tables, or give older ones what they lack; all of it or nothing."""
    with database.atomic():
        # Asked again with the lock held: listener, worker and viewer start at the same moment.
        version = database.pragma("user_version")
        if version == 1:
            _add_approvals_and_lanes()
        # Version 3 counts and lists by action and status together; the index by action alone is spared.
        database.execute_sql("DROP INDEX IF EXISTS task_action_type_seq")  # type: ignore[no-untyped-call]  # peewee's stubs lack it
        if version < SCHEMA_VERSION:
            # Only what is missing is made, indexes included.
            database.create_tables([Task, Attempt, Event, Boot, Question, Found, Fetch])
            database.pragma("user_version", SCHEMA_VERSION)


def _add_approvals_and_lanes() -> None:
    """From version 1 to 2."""
    migrator = SqliteMigrator(database)
    for name in ("project", "directory", "scope", "lane", "said_at", "approval", "fingerprint", "approved"):
        migrate(migrator.add_column("tasks", name, getattr(Task, name)))
    Task.update(said_at=Task.created_at).execute()


def _connect() -> None:
    # Turning a fresh file to WAL fails at once, whatever the busy timeout is, when another process
    # does the same; listener, worker and viewer do on a first start.
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            database.connect(reuse_if_open=True)
        except STORE_ERRORS as problem:
            if "locked" not in str(problem) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
