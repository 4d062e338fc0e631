"""What a poll answers: the news since the last one, whole lines, from a byte offset.

Nothing is remembered between polls. The page keeps three things and sends them back: where the
next line begins, how far it has looked, and the colour in force there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO

from viewer import ansi

TAIL_BYTES = 48 * 1024
"""A page shows this much of the end."""
INLINE_BYTES = 2 * 1024 * 1024
"""The most that "Show everything" shows; more is for a download."""
_CHUNK_BYTES = 128 * 1024
"""The most that one poll answers; there is always a next one."""
_BEHIND_BYTES = 512 * 1024
"""A page that is further behind jumps to the end: nobody can read that fast."""
_UNFINISHED_BYTES = 8 * 1024
"""A line without end is shown anew with each poll until it is this long, and then cut."""
_BLOCK_LINES = 200
_CONTINUATION = bytes(range(0x80, 0xC0))
"""Bytes inside a character, in UTF-8."""


@dataclass(frozen=True)
class Place:
    """How far a page is: what it sends with each poll."""

    start: int = 0  #: the byte where the next piece begins
    seen: int = 0  #: the byte up to which it has shown anything, unfinished lines included
    state: str = ""  #: the colour in force at `start`, see `viewer.ansi`


@dataclass(frozen=True)
class Piece:
    """A stretch of output for a page to append."""

    html: str
    unfinished: str
    """The begin of a line that has not ended, as HTML; the next piece begins with this line again."""
    place: Place
    size: int
    """Bytes in the whole output."""
    begin: int
    """The byte where `html` begins; when it is not where the page was, the page was too far behind."""


def read(log: BinaryIO, place: Place, *, ended: bool, limit: int = _CHUNK_BYTES) -> Piece:
    """At most *limit* bytes of the output, from `place.start` on, in whole lines.

    An unfinished line is given apart, so that a prompt or a progress bar can be seen at once.
    When the task has *ended*, nothing more comes and the last line is whole."""
    size = log.seek(0, 2)
    if place.start > size or size - place.start > max(limit, _BEHIND_BYTES):
        place = Place(tail_start(log, TAIL_BYTES))
    log.seek(place.start)
    raw = log.read(limit)
    at_end = place.start + len(raw) >= size
    length = _whole(raw, at_end=at_end, ended=ended)
    html, state = ansi.render(raw[:length].decode("utf-8", "replace"), place.state)
    unfinished = ansi.render(raw[length:].decode("utf-8", "replace"), state)[0] if at_end else ""
    reached = place.start + length
    seen = place.start + len(raw) if at_end else reached
    return Piece(html, unfinished, Place(reached, seen, state), size, place.start)


def read_tail(log: BinaryIO, *, ended: bool, most: int = TAIL_BYTES) -> Piece:
    """The last *most* bytes, or everything when there is less."""
    return read(log, Place(tail_start(log, most)), ended=ended, limit=most)


def tail_start(log: BinaryIO, most: int) -> int:
    """Where the last *most* bytes begin, moved on to the begin of a line, or at least of a character."""
    size = log.seek(0, 2)
    if size <= most:
        return 0
    # One byte earlier, to see whether a line begins exactly there.
    log.seek(size - most - 1)
    raw = log.read(min(most, _UNFINISHED_BYTES) + 1)
    if newline := raw.find(b"\n") + 1:
        return size - most - 1 + newline
    rest = raw[1:4]
    return size - most + len(rest) - len(rest.lstrip(_CONTINUATION))


def blocks(html: str) -> list[str]:
    """*html* in blocks of lines: a browser lays out only those that can be seen."""
    # Not splitlines(): it also splits at characters that are no end of a line here.
    *whole, rest = html.split("\n")
    lines = [f"{line}\n" for line in whole] + [rest] * bool(rest)
    return ["".join(lines[i : i + _BLOCK_LINES]) for i in range(0, len(lines), _BLOCK_LINES)]


def answer(piece: Piece, asked: Place, *, rev: int, asked_rev: int, ended: bool) -> dict[str, Any]:
    """The news as JSON: {} when there are none, which is what most polls get.

    `more` tells that another poll is worth it at once, `jumped` that the page must begin anew."""
    nothing_new = piece.place == asked and piece.size == asked.seen
    if nothing_new and rev == asked_rev:
        return {}
    return {
        "rev": rev,
        "html": piece.html,
        "unfinished": piece.unfinished,
        "from": piece.place.start,
        "seen": piece.place.seen,
        "sgr": piece.place.state,
        "size": piece.size,
        "more": piece.place.seen < piece.size,
        "jumped": piece.begin != asked.start,
        "ended": ended,
    }


def _whole(raw: bytes, *, at_end: bool, ended: bool) -> int:
    """How many of these bytes can be shown for good."""
    if at_end and ended:
        return len(raw)
    newline = raw.rfind(b"\n") + 1
    if newline and not at_end:
        return newline
    if at_end and len(raw) - newline <= _UNFINISHED_BYTES:
        return newline
    return _character_boundary(raw)


def _character_boundary(raw: bytes) -> int:
    """The end of the last character that is whole; also never inside a short colour code."""
    escape = raw.rfind(b"\x1b", -32)
    if escape > 0:
        return escape
    for back in range(1, min(4, len(raw)) + 1):
        byte = raw[-back]
        if byte & 0xC0 != 0x80:  # noqa: PLR2004 - not a continuation, so a character begins here
            length = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4  # noqa: PLR2004
            return len(raw) - back if length > back else len(raw)
    return len(raw)
