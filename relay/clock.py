"""A clock that does not jump when somebody corrects the time."""

from __future__ import annotations

import time
from collections.abc import Callable


def since_boot() -> float:
    """Seconds on a clock that never jumps; on Linux it counts sleep as well."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def steady_clock(
    wall: Callable[[], float] = time.time, since: Callable[[], float] = since_boot
) -> Callable[[], float]:
    """Seconds since 1970 as the wall clock has them now, going on evenly from here.

    Deadlines that are made and compared on it neither pass early nor late when the wall clock
    is put forward or back."""
    offset = wall() - since()
    return lambda: offset + since()
