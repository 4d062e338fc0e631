"""Keys and codes are in the memory of our processes, and perhaps in their environment."""

from __future__ import annotations

import ctypes
import sys

_PR_SET_DUMPABLE = 4


def hide() -> None:
    """Keep our memory and /proc/self/environ from other processes of this user (Linux): from the
    programs that tasks run.

    What we start is not hidden, nor is anything from programs that root runs."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
