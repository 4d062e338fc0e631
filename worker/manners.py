"""How to deal with a program that is more than a command: it reads, it talks in its own language, it
wants to be asked to end in its own way."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from signal import Signals
from typing import IO

from worker.redact import Redactor

MAX_OUTPUT_BYTES = 64 * 1_048_576
"""More than this would fill the disk in the end."""
Farewell = tuple[tuple[Signals, float], ...]
"""Signals, and for how many seconds each may be obeyed before the next."""


class Dialogue:
    """What a program reads bit by bit: it begins with *first*, and goes on until `end`.

    Nothing here ever waits: what does not fit into the pipe yet is written by the next `push`."""

    def __init__(self, first: bytes) -> None:
        self._unsaid = bytearray(first)
        self._has_ended = False
        self._pipe: int | None = None

    @contextmanager
    def readable(self) -> Iterator[IO[bytes]]:
        """What the program reads; it ends with the block at the latest."""
        reading, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            with os.fdopen(reading, "rb", buffering=0) as source:
                self.push()
                yield source
        finally:
            self._close()

    def say(self, data: bytes) -> None:
        """Add *data*; of no use after `end`."""
        self._unsaid += data
        self.push()

    def end(self) -> None:
        """Nothing more comes."""
        self._has_ended = True
        self.push()

    def push(self) -> None:
        """Write as much as fits. Call it again and again."""
        if self._pipe is None:
            return
        with suppress(BlockingIOError):
            while self._unsaid:
                del self._unsaid[: os.write(self._pipe, self._unsaid)]
        if self._has_ended and not self._unsaid:
            self._close()

    def _close(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


@dataclass(frozen=True)
class Manners:
    """What `worker.process.run` shall do differently for one program."""

    stdin: bytes | Dialogue | None = None
    """What it reads; None: nothing."""
    translate: Callable[[str], str] | None = None
    """What each line of its stdout, without the newline, becomes in the log and in
    `Completed.stdout`. It must not raise."""
    redactor: Redactor | None = None
    """Takes secrets out of what it prints; None: nothing is taken out."""
    most_bytes: int = MAX_OUTPUT_BYTES
    """If it prints more it is stopped."""
    farewell: Farewell = ()
    """How it is asked to end; SIGKILL follows. Empty: SIGTERM and `worker.process.GRACE_S`."""

    @contextmanager
    def readable(self) -> Iterator[IO[bytes] | None]:
        """A file with `stdin`, to be read at the program's own pace; None when it reads nothing."""
        if self.stdin is None:
            yield None
            return
        if isinstance(self.stdin, Dialogue):
            with self.stdin.readable() as source:
                yield source
            return
        # A file without a name, not a pipe: nobody has to feed it, however long it is.
        with tempfile.TemporaryFile() as source:
            source.write(self.stdin)
            source.seek(0)
            yield source


ORDINARY = Manners()
