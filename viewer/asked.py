"""Numbers in an address or a form, read with limits: a wrong one is a 400 with a sentence, never a fault."""

from __future__ import annotations

from flask import abort, request

_LARGEST = 2**63 - 1
"""SQLite's largest integer, which has 19 digits."""


def number(name: str, default: int, *, least: int = 0, most: int = _LARGEST) -> int:
    """The parameter *name* as an integer from *least* to *most*; *default* when it is absent."""
    text = request.args.get(name)
    if text is None:
        return default
    if not (_is_number(text, 19) and least <= int(text) <= most):
        upper = " up" if most == _LARGEST else f" to {most}"
        seen = text if len(text) <= 20 else f"{text[:20]}…"  # noqa: PLR2004
        abort(400, f"{name} is a whole number from {least}{upper}, not {seen!r}")
    return int(text)


def number_or_none(name: str) -> int | None:
    """Like `number`, but None when the parameter is absent."""
    return number(name, 0) if name in request.args else None


def posted(name: str) -> int | None:
    """The field *name* of the form, as the number of a row; None when it is none, or is not there."""
    text = request.form.get(name, "")
    return int(text) if _is_number(text, 18) else None


def _is_number(text: str, digits: int) -> bool:
    # The length is checked first: turning a million digits into a number takes seconds.
    return len(text) <= digits and text.isascii() and text.isdigit()
