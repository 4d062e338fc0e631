"""What pydantic found wrong, in one line for people (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from pydantic import ValidationError

from relay.names import NAME
from relay.protocol import TASK_ID

_MOST = 8
_WHOLE = {"extra_forbidden": "is not known here", "missing": "is missing"}
_KINDS = {
    "string_type": "a text", "list_type": "a list", "tuple_type": "a list", "dict_type": "a table",
    "int_type": "a number", "int_parsing": "a number", "int_from_float": "a whole number",
    "float_type": "a number", "float_parsing": "a number", "bool_parsing": "true or false",
}  # fmt: skip
_SHAPES = {
    NAME: "use lower case letters, digits, - and _, at most 32",
    TASK_ID: "use letters, digits and . _ : -, at most 128, and not only dots",
}


def explain(problem: ValidationError) -> str:
    """Every mistake that pydantic found, in one line for people; what may hold a secret is not shown."""
    errors = [dict(error) for error in problem.errors(include_url=False)]
    said = [one for where, found in groupby(errors, _where) for one in _explain(where, found)]
    return "; ".join(said[:_MOST]) + (f"; and {len(said) - _MOST} more" if len(said) > _MOST else "")


def _where(error: Mapping[str, Any]) -> str:
    # Tags of unions ("list[str]") are our inner life, not the caller's field names.
    parts = [str(part) for part in error["loc"]]
    return ".".join(part for part in parts if "[" not in part and part != "constrained-str")[:100]


def _explain(where: str, found: Iterable[dict[str, Any]]) -> Iterator[str]:
    """What is wrong at one place. Where several kinds of values are allowed there, each complains: about its
    kind, unless it is its own."""
    errors = list(found)
    kinds = [error for error in errors if error["type"] in _KINDS]
    if kinds and len(kinds) == len(errors):
        needed = " or ".join(dict.fromkeys(_KINDS[error["type"]] for error in kinds))
        yield _with_what_was_seen(where, f"{needed} is needed", kinds[0])
        return
    for error in errors:
        if error not in kinds:
            yield _explain_one(where, error)


def _explain_one(where: str, error: dict[str, Any]) -> str:
    details = error.get("ctx", {})
    if whole := _WHOLE.get(error["type"]):
        return f"{where} {whole}"
    if error["type"] in {"too_short", "string_too_short"} and not error["input"]:
        return f"{where} is empty"
    if error["type"] == "too_long":
        return f"{where} has {details['actual_length']} entries, and {details['max_length']} are allowed"
    message = error["msg"].removeprefix("Value error, ")
    return _with_what_was_seen(where, _SHAPES.get(details.get("pattern"), message), error)


def _with_what_was_seen(where: str, message: str, error: dict[str, Any]) -> str:
    said, seen = f"{where}: {message}".removeprefix(": "), error["input"]
    if not where or re.search(r"(?i)(key|secret|database_url|queue_url)$", where):
        return said
    if isinstance(seen, dict | list):
        # What a rule of ours says about several fields together says it all.
        return said if error["type"] == "value_error" else f"{said}, not a {type(seen).__name__}"
    return f"{said}, not {repr(seen)[:60]}"
