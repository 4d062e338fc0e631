"""Program output as HTML: colours become classes, everything else that controls a terminal goes.

Pure, and resumable at every line: the style in force at a cut is a few words that the page keeps.
What comes out is text, `<span class="...">` and `</span>`, whatever went in.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from markupsafe import escape

from relay.terminal import CONTROL

_MARKS = {1: "o", 2: "d", 3: "i", 4: "u", 7: "v", 9: "s"}
_UNMARKS = {22: "od", 23: "i", 24: "u", 27: "v", 29: "s"}
_FOREGROUND, _BACKGROUND = 38, 48
_COLOUR = re.compile(r"([fb])(1[0-5]|[0-9])")


class Style(NamedTuple):
    """How text looks: colours 0 to 15 or None, and marks out of `odiuvs` (bold, dim, italic,
    underlined, inverse, struck)."""

    foreground: int | None = None
    background: int | None = None
    marks: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, words: str) -> Style:
        """Read what `str()` wrote. The words come back from a browser: what is none is ignored."""
        style = cls()
        for word in words.split():
            if found := _COLOUR.fullmatch(word):
                style = style.coloured(int(found[2]), behind=found[1] == "b")
            elif word in _MARKS.values():
                style = style._replace(marks=style.marks | {word})
        return style

    def __str__(self) -> str:
        foreground = [] if self.foreground is None else [f"f{self.foreground}"]
        background = [] if self.background is None else [f"b{self.background}"]
        return " ".join([*foreground, *background, *sorted(self.marks)])

    def coloured(self, colour: int, *, behind: bool) -> Style:
        """The same with another colour: of the letters, or of what is *behind* them."""
        return self._replace(background=colour) if behind else self._replace(foreground=colour)

    @property
    def classes(self) -> str:
        """The words for the page; inverse colours are swapped here, `fd` and `bd` are the defaults'."""
        if "v" not in self.marks:
            return str(self)
        swapped = Style(self.background, self.foreground, self.marks - {"v"})
        defaults = ["fd"] * (self.background is None) + ["bd"] * (self.foreground is None)
        return " ".join([*str(swapped).split(), *defaults])


_PLAIN = Style()


def render(text: str, state: str = "") -> tuple[str, str]:
    """*text* as HTML, and the state to go on with in the next line.

    *state* is "" at the beginning, else what the call for the text before returned; anything else
    is harmless. Of a line that a program overwrote (`\\r`), the last version is kept."""
    style = Style.parse(state)
    lines = []
    for line in text.split("\n"):
        html, style = _render_line(line, style)
        lines.append(html)
    return "\n".join(lines), str(style)


def _render_line(line: str, style: Style) -> tuple[str, Style]:
    # Most lines are plain; this makes them ten times as fast.
    if not CONTROL.search(line):
        return _span(line, style), style
    if "\r" in line:
        overwritten, _, line = line.rstrip("\r").rpartition("\r")
        *_, (_, style) = _runs(overwritten, style)
    parts = []
    for text, after in _runs(line, style):
        parts.append(_span(text, style))
        style = after
    return "".join(parts), style


def _runs(line: str, style: Style) -> Iterator[tuple[str, Style]]:
    """Stretches of plain text, each with the style that is in force *after* it."""
    begin = 0
    for found in CONTROL.finditer(line):
        text, begin = line[begin : found.start()], found.end()
        if found[2] == "m":
            style = _apply(style, found[1])
        yield text, style
    yield line[begin:], style


def _span(text: str, style: Style) -> str:
    if not text:
        return ""
    html = str(escape(text))
    return f'<span class="{_classes(style)}">{html}</span>' if style != _PLAIN else html


# Output uses a handful of styles over and over; the caches make coloured lines three times as fast.
@lru_cache(maxsize=1024)
def _classes(style: Style) -> str:
    return style.classes


@lru_cache(maxsize=1024)
def _apply(style: Style, parameters: str) -> Style:
    """The style after one "select graphic rendition" (ECMA-48 8.3.117)."""
    if parameters.startswith(("<", "=", ">", "?")):
        return style
    groups = deque(parameters.split(";"))
    while groups:
        code, *arguments = (_number(part) for part in groups.popleft().split(":"))
        if code in {_FOREGROUND, _BACKGROUND}:
            colour = _extended(arguments or _legacy_arguments(groups))
            style = style if colour is None else style.coloured(colour, behind=code == _BACKGROUND)
        else:
            style = _apply_one(style, 24 if (code, arguments) == (4, [0]) else code)
    return style


def _apply_one(style: Style, code: int) -> Style:
    if code == 0:
        return Style()
    if code in _MARKS:
        return style._replace(marks=style.marks | {_MARKS[code]})
    if code in _UNMARKS:
        return style._replace(marks=style.marks - set(_UNMARKS[code]))
    base, offset = code // 10 * 10, code % 10
    if base in {30, 40, 90, 100} and offset <= 7:  # noqa: PLR2004 - eight colours, plain and bright
        return style.coloured(offset + (8 if base >= 90 else 0), behind=base in {40, 100})  # noqa: PLR2004
    return {39: style._replace(foreground=None), 49: style._replace(background=None)}.get(code, style)


def _legacy_arguments(groups: deque[str]) -> list[int]:
    """`38;5;n` and `38;2;r;g;b`: the arguments stand where further codes would."""
    wanted = {"5": 2, "2": 4}.get(groups[0] if groups else "", 0)
    return [_number(groups.popleft()) for _ in range(min(wanted, len(groups)))]


def _extended(arguments: list[int]) -> int | None:
    """The nearest of 16 colours for `5:n`, `2:r:g:b` or `2:space:r:g:b`; None for anything else."""
    match arguments:
        case [5, index] if index <= 255:  # noqa: PLR2004
            return _nearest(*_rgb(index)) if index > 15 else index  # noqa: PLR2004
        case [2, red, green, blue] | [2, _, red, green, blue]:
            return _nearest(min(red, 255), min(green, 255), min(blue, 255))
    return None


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _rgb(index: int) -> tuple[int, int, int]:
    """xterm's colours 16 to 255: a cube of 6 steps, then greys."""
    if index >= 232:  # noqa: PLR2004
        return (8 + (index - 232) * 10,) * 3
    steps = (0, 95, 135, 175, 215, 255)
    index -= 16
    return steps[index // 36], steps[index // 6 % 6], steps[index % 6]


# xterm's first sixteen.
_SIXTEEN = (
    (0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0), (0, 0, 238), (205, 0, 205), (0, 205, 205),
    (229, 229, 229), (127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0), (92, 92, 255),
    (255, 0, 255), (0, 255, 255), (255, 255, 255),
)  # fmt: skip


@lru_cache(maxsize=1024)
def _nearest(red: int, green: int, blue: int) -> int:
    def distance(number: int) -> int:
        r, g, b = _SIXTEEN[number]
        return (red - r) ** 2 + (green - g) ** 2 + (blue - b) ** 2

    return min(range(16), key=distance)
