"""Marks: how whatever a program started is found again, however far it went.

Two of them travel from parent to child: a variable in the environment, and on Linux a number in a
limit, which stays when the environment is wiped. Markers are `records.life:run`, and a beginning
of one, up to a `.` or `:`, stands for all that go on from there.

The guardian loads this file in a process that shall stay small: a little of the standard library only.
"""

from __future__ import annotations

import os
import sys
import time
import zlib
from collections.abc import Iterable
from contextlib import suppress
from signal import SIGKILL

IS_LINUX = sys.platform == "linux"
if IS_LINUX:
    import resource

MARKER = "AI_WEBHOOK_RUN"
"""The environment variable. It holds several markers, separated by spaces, when the worker was itself
started by a program, as in our own tests."""

# Linux has not enforced the limit on file locks since 2.4.25, so its number is free to carry a tag.
# Every child inherits it through fork, exec, `env -i` and setsid.
_RLIMIT_LOCKS = 10
_TAG_BITS = (24, 16, 22)  # of records, life and run: 62, for more would look like "unlimited"
_PAUSE_S = 0.001
_LOOKS = 10


def marker_of(records: os.PathLike[str]) -> str:
    """The beginning of the marker of every program that any worker on these records starts."""
    import hashlib  # noqa: PLC0415 - like pathlib a megabyte that the guardian does without

    return hashlib.sha256(os.path.realpath(records).encode()).hexdigest()[:12]


def is_on_us(marker: str) -> bool:
    """Whether this process descends from a program with a marker that begins with *marker*."""
    ours = os.environ.get(MARKER, "").split()
    return any(one.startswith(marker) for one in ours) or (IS_LINUX and carries(os.getpid(), marker))


def variable(marker: str) -> str:
    """What MARKER shall hold in a program that this process starts."""
    return " ".join([*os.environ.get(MARKER, "").split(), marker])


def put_on(pid: int, marker: str) -> None:
    """Give the tag to *pid*, and so to all that it will start; 0 is this process.

    Where that cannot be (macOS, a hard limit), there is the variable."""
    if IS_LINUX:
        with suppress(OSError, ValueError):
            hard = resource.prlimit(pid, _RLIMIT_LOCKS)[1]
            resource.prlimit(pid, _RLIMIT_LOCKS, (_tag(marker)[0], hard))


def take_off() -> None:
    """Be found by no tag any more."""
    if IS_LINUX:
        hard = resource.getrlimit(_RLIMIT_LOCKS)[1]
        resource.setrlimit(_RLIMIT_LOCKS, (hard, hard))


def carries(pid: int, marker: str) -> bool:
    """Whether *pid* has a marker that begins with *marker*. What we may not look into has not.

    Raises ProcessLookupError or FileNotFoundError when the process is gone."""
    value, mask = _tag(marker)
    with suppress(PermissionError, ValueError):
        if mask and resource.prlimit(pid, _RLIMIT_LOCKS)[0] & mask == value:
            return True
    # ProcessLookupError: a zombie or a part of the kernel, which have no environment.
    with suppress(PermissionError, ProcessLookupError):
        return _names(read(f"/proc/{pid}/environ"), marker)
    return False


def is_of_no_run(pid: int) -> bool:
    """Whether a child of ours wiped its environment and has the tag of no run: it was forked before its
    program had been given one, so that it has that of the whole life only, or it has put another limit in
    its place. Raises ProcessLookupError when it has ended meanwhile."""
    own = (1 << _TAG_BITS[-1]) - 1
    with suppress(PermissionError, ValueError):
        tag, ours = resource.prlimit(pid, _RLIMIT_LOCKS)[0], resource.getrlimit(_RLIMIT_LOCKS)[0]
        if tag & own == 0 or tag & ~own != ours & ~own:
            return f"{MARKER}=".encode() not in read(f"/proc/{pid}/environ")
    return False


def marked(marker: str) -> list[int]:
    """The processes that live and have a marker that begins with *marker*, other than this one."""
    zombies: set[int] = set()
    for _ in range(_LOOKS):
        found, is_calm = _look(marker, zombies)
        if found or is_calm:
            break
    return found


def kill(marker: str) -> list[int]:
    """SIGKILL whomever one look finds. It may miss who forks and ends all the time; `sweep` does not."""
    return _look(marker, set(), SIGKILL)[0]


def sweep(marker: str, patience: float = 2.0) -> int:
    """SIGKILL every process with a marker that begins with *marker*; returns how many there were.

    Goes on until none is left, for at most *patience* seconds."""
    killed: set[int] = set()
    zombies: set[int] = set()
    deadline = time.monotonic() + patience
    while True:
        found, is_calm = _look(marker, zombies, SIGKILL)
        killed.update(found)
        if (is_calm and not found) or time.monotonic() > deadline:
            return len(killed)
        if found:
            time.sleep(_PAUSE_S)


def signal_all(pids: Iterable[int], number: int) -> None:
    """Send a signal to each process, or group when negative; who is gone or not ours does not matter."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def read(path: str) -> bytes:
    """A file of /proc, whole. Raises OSError."""
    file = os.open(path, os.O_RDONLY)
    try:
        text = b""
        while piece := os.read(file, 65_536):
            text += piece
        return text
    finally:
        os.close(file)


def _look(marker: str, zombies: set[int], number: int = 0) -> tuple[list[int], bool]:
    """Who carries *marker*, and whether nobody ended while we looked: it may have forked just before,
    and then its child is not in our list. Adds to *zombies* who had ended already. Each one found gets
    the signal *number* at once, for some do not live long; 0 is none."""
    if not IS_LINUX:
        found = _look_with_ps(marker)
        signal_all(found, number)
        return found, True
    found, is_calm, itself = [], True, os.getpid()
    with os.scandir("/proc") as entries:
        pids = [int(entry.name) for entry in entries if entry.name.isdigit()]
    # The newest first, for the same reason.
    for pid in reversed(pids):
        try:
            if pid == itself or not carries(pid, marker):
                continue
            if not _is_zombie(pid):
                signal_all([pid], number)
                found.append(pid)
            elif pid not in zombies:
                zombies.add(pid)
                is_calm = False
        except OSError:
            is_calm = False
    return found, is_calm


def _look_with_ps(marker: str) -> list[int]:
    # macOS: `ps -E` shows the environment of one's own processes. This was not tested. It starts a
    # process without subprocess, because the guardian shall stay small.
    out, into = os.pipe()
    to_pipe = [(os.POSIX_SPAWN_DUP2, into, 1)]
    ps = os.posix_spawn("/bin/ps", ["ps", "-axEww", "-o", "pid=,command="], {}, file_actions=to_pipe)
    os.close(into)
    with os.fdopen(out, "rb") as lines:
        shown = [line.split(b" ") for line in lines.read().splitlines()]
    os.waitpid(ps, 0)
    return [int(b"".join(words[:1])) for words in shown if _names(b"\0".join(words), marker)]


def _names(variables: bytes, marker: str) -> bool:
    name, wanted = f"{MARKER}=".encode(), marker.encode()
    values = [one.removeprefix(name) for one in variables.split(b"\0") if one.startswith(name)]
    return any(one.startswith(wanted) for value in values for one in value.split())


def _is_zombie(pid: int) -> bool:
    return read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[0] in (b"Z", b"X")


def _tag(marker: str) -> tuple[int, int]:
    """The number that stands for *marker*, and which of its bits count: those of the parts it has."""
    value = mask = 0
    shift = sum(_TAG_BITS)
    for bits, part in zip(_TAG_BITS, marker.replace(":", ".").split("."), strict=False):
        shift -= bits
        if part:
            value |= _crc(part, bits) << shift
            mask |= ((1 << bits) - 1) << shift
    return value, mask


def _crc(part: str, bits: int) -> int:
    return zlib.crc32(part.encode()) & ((1 << bits) - 1)
