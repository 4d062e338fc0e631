"""Noticing that the machine slept: a session that looks young may be hours old."""

from __future__ import annotations

import time
from collections.abc import Callable

LOOK_S = 5.0
JUMP_S = 10.0
"""Clocks that drift apart by more than this between two looks mean that the machine slept."""


def slept_seconds() -> float:
    """Seconds that this machine has spent asleep, counted from some fixed point.

    On Linux the clock that counts sleep minus the one that does not; elsewhere the wall clock
    stands in for the first, so that a corrected clock looks like sleep and costs one reconnect."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    return time.time() - time.monotonic()


class SleepDetector:
    """Tells at each look whether the machine slept since the last one."""

    def __init__(self, slept: Callable[[], float] = slept_seconds) -> None:
        self._slept = slept
        self._before = slept()

    def woke_up(self) -> bool:
        """Whether a sleep of more than JUMP_S seconds ended since the last look."""
        before, self._before = self._before, self._slept()
        return abs(self._before - before) > JUMP_S
