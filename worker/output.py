"""What a program prints, on its way into the log and the record; bounded whatever it prints."""

from __future__ import annotations

import codecs
import os
import select
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from worker.manners import ORDINARY, Manners

KEPT_CHARS = 100_000
"""Of each stream this much is kept for the record, half from the start and half from the end."""
_CHUNK_BYTES = 65_536


@contextmanager
def open_log(path: Path) -> Iterator[int]:
    """The file at *path*, to append to; made for its owner only."""
    sink = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        yield sink
    finally:
        os.close(sink)


def write_all(sink: int, text: str) -> None:
    """Append *text*, whole: a disk that is filling up takes less than it is given. Raises OSError."""
    # Half of a surrogate pair, as in what somebody cut between two JSON escapes, is no UTF-8.
    rest = memoryview(text.encode(errors="replace"))
    while rest:
        rest = rest[os.write(sink, rest) :]


class Reader:
    """The output streams of a program: into the log as whole characters, and kept for the record."""

    def __init__(
        self,
        streams: Mapping[str, IO[bytes]],
        sink: int,
        wake: int | None = None,
        manners: Manners = ORDINARY,
    ) -> None:
        """Read *streams* by name and append to the open file *sink*. When the descriptor *wake*
        becomes readable, a `read` that waits returns; once. What is kept is what *manners* make of
        what is printed."""
        self._poll = select.poll()
        self._sink = sink
        self._open: dict[int, tuple[str, codecs.IncrementalDecoder]] = {}
        self._kept = {name: _HeadAndTail() for name in streams}
        self._lines = _Lines(manners.translate) if manners.translate else None
        # One for each stream: a secret may be split between two reads.
        self._clean = {name: manners.redactor.stream() for name in streams} if manners.redactor else {}
        self.total_bytes = 0
        self._problem: OSError | None = None
        for name, stream in streams.items():
            # Each stream has its own decoder: a character may be split between two reads.
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            self._open[stream.fileno()] = (name, decoder)
            self._poll.register(stream, select.POLLIN)
        if wake is not None:
            self._poll.register(wake, select.POLLIN)

    @property
    def is_open(self) -> bool:
        """Whether anything may still come."""
        return bool(self._open)

    def text(self, name: str) -> str:
        """What was kept of the stream *name*; bytes that are no UTF-8 are replaced."""
        return self._kept[name].text()

    def read(self, timeout: float) -> bool:
        """Take what is there, waiting up to *timeout* for it; whether anything came."""
        ready = self._poll.poll(timeout * 1_000)
        for file, _ in ready:
            chunk = b""
            if file in self._open:
                name, decoder = self._open[file]
                chunk = os.read(file, _CHUNK_BYTES)
                self.total_bytes += len(chunk)
                self._keep(name, decoder.decode(chunk, final=not chunk), is_last=not chunk)
            if not chunk:
                self._poll.unregister(file)
                self._open.pop(file, None)
        return bool(ready)

    def finish(self) -> None:
        """Take what the end of the tree left in the pipes; never wait."""
        while self.is_open and self.read(0):
            pass
        for name, decoder in self._open.values():
            self._keep(name, decoder.decode(b"", final=True), is_last=True)
        if self._problem is not None:
            next(iter(self._kept.values())).add(f"\n[The log of this is not whole: {self._problem}]\n")

    def _keep(self, name: str, text: str, *, is_last: bool) -> None:
        if self._lines is not None and name == "stdout":
            text = self._lines.translated(text, is_last=is_last)
        if stream := self._clean.get(name):
            text = stream.feed(text) + (stream.end() if is_last else "")
        if text:
            self._kept[name].add(text)
            self._log(text)

    def _log(self, text: str) -> None:
        # What is kept goes on without the log: a full disk must not end somebody's program.
        if self._problem is None:
            try:
                write_all(self._sink, text)
            except OSError as problem:
                self._problem = problem


class _Lines:
    """Pieces of text, put together to whole lines and translated one by one."""

    def __init__(self, translate: Callable[[str], str]) -> None:
        self._translate = translate
        # Pieces, not a text that grows: a line of megabytes would be copied with every piece.
        self._begun: list[str] = []

    def translated(self, text: str, *, is_last: bool) -> str:
        """What the lines say that *text* completes; the last one needs no newline."""
        first, *more = text.split("\n")
        self._begun.append(first)
        whole: list[str] = []
        for piece in more:
            whole.append("".join(self._begun))
            self._begun = [piece]
        if is_last and (rest := "".join(self._begun)):
            whole.append(rest)
            self._begun = []
        return "".join(map(self._translate, whole))


class _HeadAndTail:
    """The first and the last KEPT_CHARS / 2 characters of a text of any length."""

    def __init__(self, half: int = KEPT_CHARS // 2) -> None:
        self._half = half
        self._head = ""
        self._tail = ""
        self._dropped = 0

    def add(self, text: str) -> None:
        room = self._half - len(self._head)
        self._head += text[:room]
        tail = self._tail + text[room:] if room < len(text) else self._tail
        self._dropped += max(0, len(tail) - self._half)
        self._tail = tail[-self._half :]

    def text(self) -> str:
        gap = f"\n[... {self._dropped} characters left out ...]\n" if self._dropped else ""
        return self._head + gap + self._tail
