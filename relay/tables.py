"""The relay's tables. Times are seconds since 1970 in UTC. The only peewee of this room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from functools import cache
from pathlib import Path
from typing import Any, Self  # Any: what a column holds

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

WAITING = "waiting"


class _Table(Model):
    """What runs for every webhook, beside peewee's queries: those write their text anew each time,
    which takes twenty times as long as SQLite takes to run it (measured: 230 µs against 10).

    *where* is SQL with a `?` for each of *values*."""

    class Meta:
        database = database

    @classmethod
    def pick(cls, columns: str, where: str, *values: object) -> list[tuple[Any, ...]]:
        """These columns of every row for which *where* holds, in the order that it asks for."""
        text = f"SELECT {columns} FROM {cls._meta.table_name} WHERE {where}"  # noqa: S608 - our own words
        found: list[tuple[Any, ...]] = _run(text, values).fetchall()
        return found

    @classmethod
    def find(cls, where: str, *values: object) -> list[Self]:
        """Every row for which *where* holds, in the order that it asks for."""
        names = cls._meta.sorted_field_names
        return [cls._of(row) for row in cls.pick(", ".join(names), where, *values)]

    @classmethod
    def _of(cls, row: Sequence[Any]) -> Self:
        # Past peewee's setters: calling one for each column takes longer than SQLite's part.
        made = cls(__no_default__=True)
        made.__data__ = dict(zip(cls._meta.sorted_field_names, row, strict=True))
        return made

    @classmethod
    def change(cls, settings: str, where: str, *values: object) -> int:
        """Change every row for which *where* holds. Returns how many there were."""
        text = f"UPDATE {cls._meta.table_name} SET {settings} WHERE {where}"  # noqa: S608 - our own words
        return int(_run(text, values).rowcount)

    @classmethod
    def put(cls, values: Mapping[str, object], *, unless: str | None = None) -> bool:
        """Insert a row with these values, and the defaults of fields that are not named. False, and
        nothing is changed, when there is one with the same *unless*."""
        defaults = cls._meta.get_default_dict()  # type: ignore[no-untyped-call]  # peewee's stubs lack it
        row = {**defaults, **values}
        text = _insertion(cls._meta.table_name, tuple(row), unless)
        return bool(_run(text, list(row.values())).rowcount)

    def add(self, *, unless: str | None = None) -> bool:
        """Insert this row; as for `put`."""
        return self.put(self.__data__, unless=unless)

    def rewrite(self) -> None:
        """Write every field of this row, which is there already."""
        key, *names = self._meta.sorted_field_names
        values = [getattr(self, name) for name in (*names, key)]
        self.change(", ".join(f"{name} = ?" for name in names), f"{key} = ?", *values)


@cache
def _insertion(table: str, names: tuple[str, ...], unless: str | None) -> str:
    values = placeholders(names)
    text = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})"  # noqa: S608 - our own words
    return f"{text} ON CONFLICT ({unless}) DO NOTHING" if unless else text


def _run(text: str, values: Sequence[object]) -> Any:
    return database.execute_sql(text, values)  # type: ignore[no-untyped-call]  # peewee's stubs lack it


def placeholders(values: Sized) -> str:
    """A `?` for each of *values*, for `IN (…)`."""
    return ", ".join("?" * len(values))


class Delivery(_Table):
    """One accepted webhook on its way to one machine."""

    seq = AutoField()
    delivery_id = TextField()
    machine = TextField()
    event = TextField()
    task_id = TextField(null=True, index=True)
    size = IntegerField()  #: of the payload, in bytes
    digest = TextField()
    caller = TextField()
    accepted_at = FloatField()
    expires_at = FloatField()
    state = TextField(default=WAITING)  #: or delivered, or dropped
    sends = IntegerField(default=0)
    # Last, because SQLite walks through all of it to reach what comes after.
    payload = TextField()
    first_caller: str | None = None
    """Who asked for a command that is sent at somebody else's wish. No column: its task knows it."""

    class Meta:
        table_name = "deliveries"
        indexes = ((("delivery_id", "machine"), True),)


# Partial, because every index costs every webhook a page on the disk.
Delivery.add_index(
    SQL("CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (machine, seq) WHERE state = 'waiting'")
)
Delivery.add_index(
    SQL("CREATE INDEX IF NOT EXISTS deliveries_github ON deliveries (digest) WHERE caller = 'github'")
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
    summary = TextField(null=True)  #: of its end, or of what it asks its owner while it runs
    returncode = IntegerField(null=True)
    truncated = BooleanField(default=False)
    attempt = IntegerField(default=1)
    rev = IntegerField(default=0)
    created_at = FloatField(index=True)
    started_at = FloatField(null=True)
    completed_at = FloatField(null=True)
    output = TextField(default="")  #: last for the same reason

    class Meta:
        table_name = "tasks"

    @property
    def is_asking(self) -> bool:
        """Whether it runs and waits for its owner to allow something: only then has it a summary already."""
        return self.status == Status.RUNNING and self.summary is not None


class Machine(_Table):
    """A machine that has been connected at some time."""

    name = TextField(primary_key=True)
    seen_at = FloatField()
    version = TextField()

    class Meta:
        table_name = "machines"


class Announcement(_Table):
    """What a machine last said about itself, remembered while it sleeps."""

    machine = TextField(primary_key=True)
    told = TextField()  #: as JSON, an `announced.Announced`

    class Meta:
        table_name = "announcements"


class App(_Table):
    """An app that registered itself by OAuth, and perhaps was let in by the owner."""

    client_id = TextField(primary_key=True)
    name = TextField()  #: what it calls itself, made harmless to look at
    info = TextField()  #: as JSON, in the words of RFC 7591
    caller = TextField(null=True)  #: how it is known here; null until the owner says yes
    registered_at = FloatField()
    let_in_at = FloatField(null=True)

    class Meta:
        table_name = "apps"


class Token(_Table):
    """A token of an app; only its digest, so that whoever reads this file gets in nowhere."""

    digest = TextField(primary_key=True)
    kind = TextField()
    family = TextField(index=True)  #: tokens of one sign-in end together
    client_id = TextField(index=True)
    caller = TextField()
    expires_at = FloatField()
    used_at = FloatField(null=True)

    class Meta:
        table_name = "tokens"


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
            database.create_tables([Delivery, Task, Machine, Announcement, App, Token])
        path.chmod(0o600)
    except PeeweeException as problem:
        raise CannotOpen(f"RELAY_SQLITE_PATH {path} cannot be used ({problem})") from None
    return database
