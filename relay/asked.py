"""What a request asks for beside its body: to be waited for, and to count once."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Request
from pydantic import Field, TypeAdapter, ValidationError

from relay.errors import Code, Problem

MAX_WAIT_S = 45.0
"""Longest time a caller may hold an answer open; voice assistants give up after that."""

_ID = re.compile(r"[\x21-\x7e]{1,128}")
_WAIT = TypeAdapter(Annotated[float, Field(ge=0, le=MAX_WAIT_S, allow_inf_nan=False)])


def asked_wait(request: Request) -> float | None:
    """Seconds from `?wait=`, else from `Prefer: wait=N` (RFC 7240; more than 45 counts as 45), else
    None. Raises Problem 422.

    Read here, because FastAPI takes longer to read two parameters than we take for all the rest."""
    text = request.query_params.get("wait") if request.scope["query_string"] else None
    if text is not None:
        try:
            return _WAIT.validate_python(text)
        except ValidationError:
            detail = f"wait must be a number of seconds from 0 to {MAX_WAIT_S:.0f}, not {text[:60]!r}"
            raise Problem(Code.MALFORMED, detail, field="wait") from None
    found = re.search(r"(?:^|[,;\s])wait\s*=\s*(\d{1,6})", request.headers.get("prefer", ""))
    return min(float(found[1]), MAX_WAIT_S) if found else None


def asked_id(request: Request) -> str | None:
    """The id under which the caller wants this request to count once, or None. Raises Problem 422."""
    for name in ("webhook-id", "x-github-delivery", "idempotency-key"):
        # Also an empty one is refused: whoever sends it believes to be safe from repetition.
        if (value := request.headers.get(name)) is not None:
            if not _ID.fullmatch(value):
                raise Problem(Code.MALFORMED, f"{name} must be 1 to 128 visible ASCII characters", field=name)
            return value
    return None
