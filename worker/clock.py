"""A clock for deadlines that does not jump when somebody corrects the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from peewee import FloatField, TextField

from worker.models import Table

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def wall_clock() -> datetime:
    """The time as people read it."""
    return datetime.fromtimestamp(time.time(), UTC)


class Boot(Table):
    """What the wall clock said when the machine was started, once for each start of it."""

    id = TextField(primary_key=True)
    origin = FloatField()

    class Meta:
        table_name = "boots"


def steady_clock() -> Callable[[], datetime]:
    """A clock that goes on evenly from the time at which these records were first opened since the
    machine was started, the same in every process: a deadline that the listener makes means the
    same to the worker, whatever happens to the wall clock in between.

    Where the system tells no name for "since it was started" (macOS), it is the wall clock."""
    if not _BOOT_ID.exists() or not hasattr(time, "CLOCK_BOOTTIME"):
        return wall_clock
    boot = _BOOT_ID.read_text(encoding="ascii").strip()
    origin = _origin_of(boot, time.time() - time.clock_gettime(time.CLOCK_BOOTTIME))
    return lambda: datetime.fromtimestamp(origin + time.clock_gettime(time.CLOCK_BOOTTIME), UTC)


def _origin_of(boot: str, proposed: float) -> float:
    """The wall clock at the start of the machine called *boot*: what the first asker proposed."""
    Boot.insert(id=boot, origin=proposed).on_conflict_ignore().execute()
    return Boot.get_by_id(boot).origin
