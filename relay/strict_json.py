"""JSON from strangers, read so strictly that nothing after it can choke on it (pure)."""

from __future__ import annotations

import json
import math
import re
from typing import Any

MAX_DEPTH = 64


class BadJSON(ValueError):
    """The text is not a JSON object that every part of the chain can carry; says why."""


def parse_json(text: bytes | str) -> dict[str, Any]:
    """Read one JSON object, strictly.

    Refuses what would become a poison message further on: NaN and infinities, repeated keys,
    integers over 64 bits (SQLite), lone surrogates and NUL (SQLite, programs), and nesting
    deeper than MAX_DEPTH. Raises BadJSON with the reason."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except RecursionError:
        raise BadJSON(f"it nests deeper than {MAX_DEPTH} levels") from None
    except BadJSON:
        raise
    except ValueError as problem:
        raise BadJSON(f"it is not JSON ({problem})") from None
    if not isinstance(value, dict):
        raise BadJSON(f"it is a JSON {type(value).__name__}, and an object is needed")
    _check(value)
    return value


def _refuse_constant(name: str) -> None:
    raise BadJSON(f"it contains {name}, which JSON does not have")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadJSON(f"it names {twice[:60]!r} twice in one object")
    return found


_UNSAFE = re.compile("[\x00\ud800-\udfff]")


def _check(value: object, depth: int = 1) -> None:
    if depth > MAX_DEPTH:
        raise BadJSON(f"it nests deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
    elif isinstance(value, str):
        if _UNSAFE.search(value):
            raise BadJSON("it contains a NUL character or half of a surrogate pair")
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise BadJSON("it contains an integer of more than 64 bits")
    elif isinstance(value, float) and not math.isfinite(value):
        raise BadJSON("it contains a number that is too large")
