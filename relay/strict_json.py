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
        if isinstance(text, bytes):
            text = text.decode(json.detect_encoding(text), "surrogatepass")
        value = _DECODER.decode(text)
    except RecursionError:
        raise BadJSON(f"it nests deeper than {MAX_DEPTH} levels") from None
    except BadJSON:
        raise
    except ValueError as problem:
        raise BadJSON(f"it is not JSON ({problem})") from None
    if not isinstance(value, dict):
        raise BadJSON(f"it is a JSON {type(value).__name__}, and an object is needed")
    # Nearly every text shows at a glance that there is nothing to find, in a tenth of the time that
    # it takes to visit every value.
    if not _is_plain(text):
        _check(value)
    return value


def _is_plain(text: str) -> bool:
    """Whether no string in *text* can hold what is refused, and it cannot nest too deeply."""
    shallow = text.count("{") + text.count("[") < MAX_DEPTH
    return shallow and "\\u" not in text and (text.isascii() or not _UNSAFE.search(text))


def _refuse_constant(name: str) -> None:
    raise BadJSON(f"it contains {name}, which JSON does not have")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadJSON(f"it names {twice[:60]!r} twice in one object")
    return found


def _integer(text: str) -> int:
    # More than 20 characters are never 64 bits, and longer ones cost ever more to convert.
    number = int(text) if len(text) <= _INTEGER_CHARS else 2**63
    if not -(2**63) <= number < 2**63:
        raise BadJSON("it contains an integer of more than 64 bits")
    return number


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadJSON("it contains a number that is too large")
    return number


_INTEGER_CHARS = len(str(-(2**63)))
_UNSAFE = re.compile("[\x00\ud800-\udfff]")
# Made once: with hooks, json.loads makes one for every text, which takes longer than the reading.
_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, object_pairs_hook=_unique, parse_int=_integer, parse_float=_number
)


def _check(value: object, depth: int = 1) -> None:
    if depth > MAX_DEPTH:
        raise BadJSON(f"it nests deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
    elif isinstance(value, str) and _UNSAFE.search(value):
        raise BadJSON("it contains a NUL character or half of a surrogate pair")
