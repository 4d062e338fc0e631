"""The relay's two tables. Times are seconds since 1970 in UTC. The only peewee of this room."""

from __future__ import annotations

from pathlib import Path

from peewee import (
    SQL,
    AutoField,
    BooleanField,
    FloatField,
    IntegerField,
    Model,
    PeeweeException,
    SqliteDatabase,
    TextField,
)

from relay.protocol import Status

database = SqliteDatabase(None, lock_type="IMMEDIATE")

WAITING, DELIVERED, REFUSED = "waiting", "delivered", "refused"


class _Table(Model):
    class Meta:
        database = database


class Delivery(_Table):
    """One accepted webhook on its way to one machine."""

    seq = AutoField()
    delivery_id = TextField()
    machine = TextField()
    event = TextField()
    task_id = TextField(null=True)
    payload = TextField()
    digest = TextField()
    caller = TextField()
    accepted_at = FloatField()
    expires_at = FloatField()
    state = TextField(default=WAITING)
    sends = IntegerField(default=0)

    class Meta:
        table_name = "deliveries"
        indexes = ((("delivery_id", "machine"), True),)


Delivery.add_index(
    SQL("CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (machine, seq) WHERE state = 'waiting'")
)


class Task(_Table):
    """The last that the relay knows about one command."""

    task_id = TextField(primary_key=True)
    digest = TextField()
    action_type = TextField()
    title = TextField(null=True)
    caller = TextField()
    machine = TextField()
    status = TextField(default=Status.PENDING.value)
    reason = TextField(null=True)
    error = TextField(null=True)
    summary = TextField(null=True)
    returncode = IntegerField(null=True)
    output = TextField(default="")
    truncated = BooleanField(default=False)
    attempt = IntegerField(default=1)
    rev = IntegerField(default=0)
    created_at = FloatField(index=True)
    started_at = FloatField(null=True)
    completed_at = FloatField(null=True)

    class Meta:
        table_name = "tasks"


class CannotOpen(Exception):
    """The relay's database file is in the wrong place or damaged."""


def open_database(path: Path) -> SqliteDatabase:
    """Prepare the file at *path*. FULL, because a 202 promises that it is on disk. Raises CannotOpen."""
    database.init(
        str(path),
        pragmas={"journal_mode": "wal", "synchronous": "full", "busy_timeout": 5_000},
    )
    try:
        with database:
            database.create_tables([Delivery, Task])
        path.chmod(0o600)
    except PeeweeException as problem:
        raise CannotOpen(f"RELAY_SQLITE_PATH {path} cannot be used ({problem})") from None
    return database
