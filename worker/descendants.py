"""What a program leaves behind, and the end of all of it.

On Linux the worker adopts orphans: the kernel makes whatever lost its parent below the worker its
child, so one short look at its children tells that nothing is left. Only when something is, /proc
is searched for the marks of the run (`worker.marks`). On macOS, where this was not tested, there are
the process group and the marks in the environment.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

from worker import marks
from worker.manners import Farewell
from worker.marks import signal_all

_PR_SET_CHILD_SUBREAPER = 36
KILL_S = 2.0
"""How long what was told to die is pursued. Left then is only what this user may not kill, and what
sleeps in the kernel."""

# Held while the main thread starts or reaps a program, and while orphans are told from programs: both
# are in the same list of children, a child just forked is no orphan, and the kernel may leave one out
# while another is reaped. The programs of other threads are in lists of their own. A lock for them
# all halved what four threads get done.
_changing = threading.Lock()
_programs: set[int] = set()
_lasting: set[int] = set()  # those of them that are of no run: nobody reaps them while others look
_children: int | None = None
"""The open file that lists the children of the main thread, to which the kernel gives every orphan;
None where orphans are not adopted."""


def adopt(marker: str) -> None:
    """Become the parent of the orphans of our programs (Linux), and reap them. *marker* is the beginning
    of the markers of all runs.

    Only for a process that starts nothing but through `starting`: any other child would be taken for
    an orphan, and its exit status with it. Without it every end of a program costs a search of /proc."""
    global _children  # noqa: PLW0603 - a property of the process, like what it stands for
    # Whoever started us may ignore it, and then no exit status is ever kept for us.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    marks.put_on(0, marker)
    with suppress(OSError):
        list_of_children = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY)
        # A subreaper: what loses its parent below us becomes ours.
        if ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0:
            _children = list_of_children


@contextmanager
def starting(marker: str | None) -> Iterator[Callable[[int], None]]:
    """Start one program in the block, and call what you are given with its process id.

    Its environment must hold `marks.variable(marker)`. None is for what belongs to no run."""

    def has_started(pid: int) -> None:
        _programs.add(pid)
        if marker is None:
            _lasting.add(pid)
        else:
            marks.put_on(pid, marker)

    with _own_list():
        yield has_started


@contextmanager
def reaping(pid: int) -> Iterator[None]:
    """Take the exit status of a program, or give it up, in the block: it is none of ours any more."""
    with _own_list():
        yield
        _programs.discard(pid)
        _lasting.discard(pid)


def _own_list() -> AbstractContextManager[object]:
    return _changing if threading.current_thread() is threading.main_thread() else nullcontext()


def reap() -> None:
    """Take leave of orphans that ended while their program goes on; there may be many in an hour."""
    if _children is not None:
        _living_orphans()


def anyone_left(marker: str, group: int) -> bool:
    """Whether a program that ended by itself left anything running. *group* is its process id and group.

    On macOS only the group is asked, since a look at everybody would start `ps` after each program:
    a daemon that left the group and holds no pipe lives there until the worker ends."""
    if _children is not None:
        return bool(_orphans_of(marker))
    if marks.IS_LINUX:
        return bool(marks.marked(marker))
    return _group_is_alive(group)


def end(
    marker: str,
    group: int,
    has_ended: Callable[[], bool],
    farewell: Farewell,
    wait: Callable[[float], object],
) -> None:
    """End a program with all that descends from it: each signal of *farewell*, with its time to tidy
    up, then SIGKILL.

    *has_ended* tells whether the program itself has. It must not be reaped before this returns, or
    *group* might be somebody else's by then. *wait* lets some time pass, at most as long as it is told."""
    for number, grace in farewell:
        signal_all([-group], number)
        # One of each: many programs take the second for impatience and do not tidy up. OSError: there is no
        # file descriptor left to look with; the group has heard of it.
        with suppress(OSError):
            signal_all([pid for pid in marks.marked(marker) if not _is_in(pid, group)], number)
        deadline, over = time.monotonic() + grace, False
        while not over and time.monotonic() < deadline:
            wait(0.01)
            with suppress(OSError):
                over = has_ended() and not anyone_left(marker, group)
        if over:
            break
    deadline, is_empty = time.monotonic() + KILL_S, False
    while not is_empty and time.monotonic() < deadline:
        signal_all([-group], signal.SIGKILL)
        with suppress(OSError):
            is_empty = _kill_all(marker, has_ended)
        time.sleep(0.001)


def _kill_all(marker: str, has_ended: Callable[[], bool]) -> bool:
    """Kill whatever carries *marker*; whether nobody is left. Raises OSError when it cannot look."""
    if _children is None:
        return not marks.sweep(marker, KILL_S)
    # Whoever forks and ends hands its child to us before it is dead, so nobody slips through: when we
    # see none, there is none.
    left = _orphans_of(marker)
    if not left and has_ended():
        return True
    signal_all(left, signal.SIGKILL)
    marks.kill(marker)
    return False


def _orphans_of(marker: str) -> list[int]:
    while True:
        # It is gone when another thread reaped it meanwhile. Its child may have come to us: look again.
        with suppress(ProcessLookupError, FileNotFoundError):
            # Whoever cannot be told ends with the first program that does; with its own it would as well.
            return [pid for pid in _living_orphans() if marks.carries(pid, marker) or marks.is_of_no_run(pid)]


def _living_orphans() -> list[int]:
    """Our children that are no programs of ours; reaps the dead ones."""
    # Usually there is only the guardian: programs are children of the threads that started them.
    while not _lasting.issuperset(_listed()):
        with _changing:
            orphans = [pid for pid in _listed() if pid not in _programs]
            living = [pid for pid in orphans if os.waitpid(pid, os.WNOHANG) == (0, 0)]
        if living == orphans:
            return living
        # One that ended between the look and the reaping may have left us a child in that moment.
    return []


def _listed() -> list[int]:
    assert _children is not None
    text = b""
    while more := os.pread(_children, 4_096, len(text)):
        text += more
    return [int(pid) for pid in text.split()]


def _is_in(pid: int, group: int) -> bool:
    with suppress(OSError):
        return os.getpgid(pid) == group
    return True


def _group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        # macOS answers the second for a group of zombies; it is ours, so there is nothing left to end.
        return False
    return True
