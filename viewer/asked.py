"""Numbers in an address, read with limits: a wrong one is a 400 with a sentence, never a fault."""

from __future__ import annotations

from flask import abort, request

_LARGEST = 2**63 - 1
"""SQLite's largest integer."""


def number(name: str, default: int, *, least: int = 0, most: int = _LARGEST) -> int:
    """The parameter *name* as an integer from *least* to *most*; *default* when it is absent."""
    text = request.args.get(name)
    if text is None:
        return default
    # The length is checked first: turning a million digits into a number takes seconds.
    if not (len(text) < 20 and text.isascii() and text.isdigit() and least <= int(text) <= most):  # noqa: PLR2004
        upper = " up" if most == _LARGEST else f" to {most}"
        seen = text if len(text) <= 20 else f"{text[:20]}…"  # noqa: PLR2004
        abort(400, f"{name} is a whole number from {least}{upper}, not {seen!r}")
    return int(text)


def number_or_none(name: str) -> int | None:
    """Like `number`, but None when the parameter is absent."""
    return number(name, 0) if name in request.args else None
