"""What only Linux does, by prctl(2): hide a process from its neighbours, and adopt orphans."""

from __future__ import annotations

from worker.marks import IS_LINUX

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36


def hide() -> None:
    """Keep our memory and /proc/self/environ, where keys and codes may be, from other processes of
    this user (Linux).

    What we start is not hidden, nor is anything from programs that root runs."""
    _prctl(_PR_SET_DUMPABLE, 0)


def adopt_orphans() -> bool:
    """Become the parent of whatever loses its parent below us; whether the system does that."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> bool:
    if not IS_LINUX:
        return False
    import ctypes  # noqa: PLC0415 - a megabyte for one call, on Linux only

    return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)
