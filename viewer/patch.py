"""What an assistant changed, as git tells it, with the colours of a diff."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from relay import terminal
from viewer import ansi, records
from worker import models

# The first that fits; each is the begin of a line, and what a terminal would be told before it.
_COLOURS = (
    ("diff ", "\x1b[1m"), ("+++ ", "\x1b[1m"), ("--- ", "\x1b[1m"),
    ("@@", "\x1b[36m"), ("+", "\x1b[32m"), ("-", "\x1b[31m"),
)  # fmt: skip


@dataclass(frozen=True)
class Patch:
    """The changes of one attempt."""

    files: int
    html: Markup
    branch: str | None
    """Where they are, when they are not in the checkout."""


def of(task: models.Task) -> Patch | None:
    """What came of the latest attempt of *task*; None when nothing changed."""
    result = records.result(task)
    text, files, branch = (result.get(name) for name in ("patch", "files_changed", "branch"))
    if not isinstance(text, str) or not text or not isinstance(files, list):
        return None
    # What the file itself would tell a terminal goes first.
    lines = [_coloured(line) for line in terminal.strip(text).split("\n")]
    html = Markup(ansi.render("\n".join(lines), "")[0])  # noqa: S704 - escaped by ansi
    return Patch(len(files), html, branch if isinstance(branch, str) else None)


def _coloured(line: str) -> str:
    colour = next((colour for begin, colour in _COLOURS if line.startswith(begin)), None)
    return f"{colour}{line}\x1b[0m" if colour else line
