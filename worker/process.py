"""Programs: start one, stream what it prints, and end it with everything it started.

The only module that starts processes. It knows nothing of tasks: it gets an argument list, a
directory, an environment and a log, and says how it went.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from worker.output import Reader

MAX_OUTPUT_BYTES = 64 * 1_048_576
"""A program that prints more is stopped: it would fill the disk."""
GRACE_S = 1.0
"""Between SIGTERM and SIGKILL."""
DRAIN_S = 1.0
"""How long a pipe is read that a background process still holds when the program has ended."""
_LOOK_S = 0.1

MARKER = "AI_WEBHOOK_RUN"
"""Environment variable that every descendant inherits, by which it is found again even after
it left the process group."""

_INHERITED = ("HOME", "LANG", "LOGNAME", "SHELL", "TMPDIR", "TZ", "USER")


class Ending(Enum):
    """How a program came to its end."""

    EXITED = "exited"
    TIMED_OUT = "timed out"
    STOPPED = "stopped"  #: the caller's *stop* said so
    TOO_MUCH_OUTPUT = "too much output"


@dataclass(frozen=True)
class Completed:
    """What is left of a program. `returncode` is negative for the signal that ended it, like
    subprocess; `stdout` and `stderr` are `worker.output.KEPT_CHARS` at most."""

    ending: Ending
    returncode: int
    stdout: str
    stderr: str
    seconds: float


class CannotStart(Exception):
    """The program is not there or may not be run; the text says which and why."""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a program gets to see: a short allow-list, never a key or a setting of ours."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("LC_")}
    # Relative entries would let a project's own folder stand in for git or ls.
    path = [entry for entry in os.environ.get("PATH", os.defpath).split(":") if entry.startswith("/")]
    return {**kept, "PATH": ":".join(path), "TERM": "dumb", **(extra or {})}


def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    marker: str,
    timeout: float,
    stop: Callable[[], bool],
) -> Completed:
    """Run *argv* in *cwd* with exactly *env*, append what it prints to *log* as it comes, and
    return when it and everything it started has ended.

    *marker* is unique to this run. *stop* is asked ten times a second; when it says True, or
    after *timeout* seconds, the whole tree gets SIGTERM and after GRACE_S SIGKILL.
    Raises CannotStart."""
    started = time.monotonic()
    with _open_log(log) as sink, _start(argv, cwd, env, marker) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        reader = Reader({"stdout": child.stdout, "stderr": child.stderr}, sink)
        ending = _follow(child, reader, started + timeout, stop)
        if ending is not Ending.EXITED or reader.is_open or _group_is_alive(child.pid):
            end_tree(child, marker)
        else:
            # A daemon that left the group and holds no pipe shows nowhere else.
            sweep(marker)
        reader.finish()
        return Completed(
            ending,
            child.wait(),
            reader.text("stdout"),
            reader.text("stderr"),
            time.monotonic() - started,
        )


def end_tree(child: subprocess.Popen[bytes], marker: str) -> None:
    """SIGTERM to the child's group, GRACE_S to tidy up, then SIGKILL to all that is left."""
    _signal_group(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline and (child.poll() is None or _group_is_alive(child.pid)):
        time.sleep(0.02)
    _signal_group(child.pid, signal.SIGKILL)
    sweep(marker)


def sweep(marker: str) -> int:
    """SIGKILL every process whose MARKER begins with *marker*; returns how many there were.

    Repeats until a look finds none, for at most 2 seconds: a process may fork while we look."""
    killed: set[int] = set()
    deadline = time.monotonic() + 2
    while (found := list(_marked(marker))) and time.monotonic() < deadline:
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed.update(found)
        time.sleep(0.01)
    return len(killed)


def _marked(marker: str) -> Iterator[int]:
    wanted = f"{MARKER}={marker}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        # Gone meanwhile, somebody else's, or a zombie: nothing of ours to end.
        with suppress(OSError):
            variables = (folder / "environ").read_bytes().split(b"\0")
            if any(variable.startswith(wanted) for variable in variables):
                yield int(folder.name)


@contextmanager
def _start(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], marker: str
) -> Iterator[subprocess.Popen[bytes]]:
    try:
        child = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env={**env, MARKER: marker},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A session of its own: no terminal to ask questions on, a group that can be ended
            # as one, and no share in the signals that stop the worker.
            start_new_session=True,
        )
    except FileNotFoundError:
        # The same error means a missing directory; say which it was.
        what = f"program {argv[0]!r}" if cwd.is_dir() else f"directory {str(cwd)!r}"
        raise CannotStart(f"There is no {what} on this machine") from None
    except (OSError, ValueError) as problem:
        raise CannotStart(f"{argv[0]!r} cannot be started: {problem}") from None
    with child:
        try:
            yield child
        except BaseException:
            # A full disk, a bug: whatever went wrong, nothing is left running, not even what the
            # program itself had left behind.
            end_tree(child, marker)
            raise


@contextmanager
def _open_log(path: Path) -> Iterator[int]:
    sink = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        yield sink
    finally:
        os.close(sink)


def _follow(
    child: subprocess.Popen[bytes], reader: Reader, deadline: float, stop: Callable[[], bool]
) -> Ending:
    """Read until the program has ended, or until it must be ended."""
    while child.poll() is None:
        if time.monotonic() >= deadline:
            return Ending.TIMED_OUT
        if stop():
            return Ending.STOPPED
        if reader.total_bytes > MAX_OUTPUT_BYTES:
            return Ending.TOO_MUCH_OUTPUT
        if reader.is_open:
            reader.read(_LOOK_S)
        else:
            # Both streams are at their end, so it is ending: this returns within a millisecond.
            with suppress(subprocess.TimeoutExpired):
                child.wait(_LOOK_S)
    # What the program itself printed is in the pipes already; a background process that
    # holds them, perhaps for hours, gets a moment only.
    drained = time.monotonic() + DRAIN_S
    while reader.is_open and time.monotonic() < drained and reader.total_bytes <= MAX_OUTPUT_BYTES:
        reader.read(_LOOK_S)
    return Ending.EXITED


def _group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # macOS answers so for a group of zombies; it is ours, so there is nothing left to end.
        return False
    return True


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
