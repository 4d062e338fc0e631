"""Programs: start one, stream what it prints, and end it with everything it started.

The only module that starts programs. It knows nothing of tasks: it gets an argument list, a
directory, an environment and a log, and says how it went.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO, Self

from worker import descendants, marks
from worker.environment import found
from worker.manners import ORDINARY, Farewell, Manners
from worker.output import Reader, open_log

GRACE_S = 1.0
"""Between SIGTERM and SIGKILL."""
DRAIN_S = 1.0
"""How long a pipe is read that a background process still holds when the program has ended."""
_LOOK_S = 0.1
_LAST_LOOK_S = 0.002


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


def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    marker: str,
    timeout: float,
    stop: Callable[[], bool],
    manners: Manners = ORDINARY,
) -> Completed:
    """Run *argv* in *cwd* with exactly *env*, append what it prints to *log* as it comes, and
    return when it and everything it started has ended.

    *marker* is unique to this run. *stop* is asked ten times a second; when it says True, after
    *timeout* seconds, or when it prints more than *manners* allow, the whole tree gets SIGTERM and
    after GRACE_S SIGKILL, unless *manners* say otherwise. Raises CannotStart."""
    started = time.monotonic()
    with (
        open_log(log) as sink,
        manners.readable() as source,
        _Program(argv, cwd, env, marker, source) as program,
    ):
        reader = Reader(program.streams, sink, program.exit_fd, manners)
        ending = _follow(program, reader, started + timeout, stop, manners.most_bytes)
        if ending is not Ending.EXITED or reader.is_open or descendants.anyone_left(marker, program.pid):
            # Whoever has last words of its own is listened to meanwhile: a full pipe would hold it up.
            program.end_tree(manners.farewell, reader.read if manners.farewell else time.sleep)
        reader.finish()
        status, seconds = program.take_status(), time.monotonic() - started
        return Completed(ending, status, reader.text("stdout"), reader.text("stderr"), seconds)


def _follow(
    program: _Program, reader: Reader, deadline: float, stop: Callable[[], bool], most_bytes: int
) -> Ending:
    """Read until the program has ended, or until it must be ended."""
    while not program.has_ended():
        if time.monotonic() >= deadline:
            return Ending.TIMED_OUT
        if stop():
            return Ending.STOPPED
        if reader.total_bytes > most_bytes:
            return Ending.TOO_MUCH_OUTPUT
        # With both streams at their end it is ending; where nothing tells us that, ask again soon.
        is_told = reader.is_open or program.exit_fd is not None
        reader.read(_LOOK_S if is_told else _LAST_LOOK_S)
    # What the program itself printed is in the pipes already; a background process that
    # holds them, perhaps for hours, gets a moment only.
    drained = time.monotonic() + DRAIN_S
    while reader.is_open and time.monotonic() < drained and reader.total_bytes <= most_bytes:
        reader.read(_LOOK_S)
    return Ending.EXITED


class _Program:
    """A running program. Leaving the block ends it, with everything it started, unless its exit
    status was taken."""

    def __init__(
        self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], marker: str, source: IO[bytes] | None
    ) -> None:
        self._marker = marker
        with descendants.starting(marker) as has_started:
            self._child = _spawn(argv, cwd, {**env, marks.MARKER: marks.variable(marker)}, source)
            has_started(self._child.pid)
        self.pid = self._child.pid
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        self.streams = {"stdout": self._child.stdout, "stderr": self._child.stderr}
        self.exit_fd: int | None = None
        """Readable when it has ended; None where the system does not offer that (macOS)."""
        if sys.platform == "linux":
            with suppress(OSError):
                self.exit_fd = os.pidfd_open(self.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._child.returncode is None:
                # A full disk, a bug: whatever went wrong, nothing is left running, not even what
                # the program itself had left behind.
                self.end_tree()
                self.take_status()
        finally:
            for stream in self.streams.values():
                stream.close()
            if self.exit_fd is not None:
                os.close(self.exit_fd)

    def has_ended(self) -> bool:
        return _has_ended(self._child)

    def end_tree(self, farewell: Farewell = (), wait: Callable[[float], object] = time.sleep) -> None:
        steps = farewell or ((signal.SIGTERM, GRACE_S),)
        descendants.end(self._marker, self.pid, self.has_ended, steps, wait)

    def take_status(self) -> int:
        """The exit status, like subprocess; that of a kill if the system did not let us kill it."""
        with descendants.reaping(self.pid):
            status = self._child.poll()
            if status is None:
                # Somebody else's, by sudo, or stuck in the kernel. From now on it counts as an orphan.
                status = self._child.returncode = -signal.SIGKILL
            return status


def _spawn(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], source: IO[bytes] | None
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            list(argv),
            executable=found(argv[0], env.get("PATH", "")),
            cwd=cwd,
            env=env,
            stdin=source or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            # A session of its own: no terminal to ask questions on, a group that can be ended
            # as one, and no share in the signals that stop the worker.
            start_new_session=True,
        )
    except FileNotFoundError:
        # The same error means a missing directory; say which it was.
        what = f"program {argv[0]!r}" if cwd.is_dir() else f"directory {str(cwd)!r}"
        raise CannotStart(f"There is no {what} on this machine") from None
    except (OSError, ValueError) as problem:
        if isinstance(problem, OSError) and problem.errno in _LATER:
            raise  # It is not about this program.
        raise CannotStart(f"{argv[0]!r} cannot be started: {problem}") from None


_LATER = {errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    if sys.platform != "linux":
        return child.poll() is not None
    # Not reaped yet: its id and its group stay its own until everything else has ended.
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


class Guardian:
    """The process of `worker.guardian`, which ends whatever carries *marker* once we are gone."""

    def __init__(self, marker: str) -> None:
        self._marker = marker
        # Nobody inherits the writing end, so the kernel closes it with us, whatever ends us.
        self._source, self._held = os.pipe()
        self._child = self._start()

    def look(self) -> None:
        """Start another if it has died. Call it now and then."""
        if self._child.returncode is not None or _has_ended(self._child):
            with descendants.reaping(self._child.pid):
                self._child.wait()
            # Not enough memory, perhaps; the next look tries again.
            with suppress(OSError):
                self._child = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        code = "import sys; sys.path.append(sys.argv[1]); from worker import guardian; "
        code += "guardian.watch(sys.argv[2])"
        with descendants.starting(None) as has_started:
            child = subprocess.Popen(
                # Bare, because it is always there: five megabytes instead of forty.
                [sys.executable, "-I", "-S", "-c", code, str(Path(__file__).parents[1]), self._marker],
                cwd="/",
                env={},  # no key in it
                stdin=self._source,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # what stops or kills the worker's group does not reach it
            )
            has_started(child.pid)
        return child
