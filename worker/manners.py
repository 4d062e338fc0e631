"""How to deal with a program that is more than a command: it reads, it talks in its own language, it
wants to be asked to end in its own way."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from signal import Signals
from typing import IO

from worker.redact import Redactor

MAX_OUTPUT_BYTES = 64 * 1_048_576
"""More than this would fill the disk in the end."""
Farewell = tuple[tuple[Signals, float], ...]
"""Signals, and for how many seconds each may be obeyed before the next."""


@dataclass(frozen=True)
class Manners:
    """What `worker.process.run` shall do differently for one program."""

    stdin: bytes | None = None
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
        # A file without a name, not a pipe: nobody has to feed it, however long it is.
        with tempfile.TemporaryFile() as source:
            source.write(self.stdin)
            source.seek(0)
            yield source


ORDINARY = Manners()
