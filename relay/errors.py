"""Every error a caller can get: one table, one shape (RFC 9457 problem+json)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from http import HTTPStatus
from typing import NamedTuple

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field


class Row(NamedTuple):
    """One line of the table: the HTTP status and what it means."""

    status: int
    title: str


class Code(Enum):
    """The table. Codes are stable: callers may compare them; titles are for people."""

    UNKNOWN_KEY = Row(401, "The key is missing or unknown")
    BAD_SIGNATURE = Row(401, "The signature does not belong to this body")
    WRONG_SCOPE = Row(403, "This key may not do that")
    NOT_FOUND = Row(404, "There is nothing here")
    WRONG_METHOD = Row(405, "That method does not work here")
    CONFLICT = Row(409, "It does not fit what is here already")
    WRONG_HOST = Row(421, "This relay does not know that it has this address")
    TOO_LARGE = Row(413, "The body is too large")
    MALFORMED = Row(422, "The request cannot be understood")
    TOO_MANY = Row(429, "That was too often")
    UNAVAILABLE = Row(503, "Nothing can be stored at the moment")
    INTERNAL = Row(500, "The relay made a mistake")

    @property
    def slug(self) -> str:
        return self.name.lower()


class ProblemView(BaseModel):
    """An error as every answer shows it (RFC 9457)."""

    type: str = Field(description="Where the table of errors explains it.")
    title: str
    status: int
    code: str = Field(description="Stable, to be compared by programs.")
    detail: str = Field(description="One sentence for people: what was seen, expected, and the way out.")
    field: str | None = Field(default=None, description="The field at fault, when it is one.")


class Problem(Exception):
    """An answer that says no. *detail* names what was seen, what was expected, the way out."""

    def __init__(
        self, code: Code, detail: str, *, field: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.field = field
        self.retry_after = retry_after

    def response(self) -> JSONResponse:
        row = self.code.value
        shown = ProblemView(
            type=f"/errors#{self.code.slug}",
            title=row.title,
            status=row.status,
            code=self.code.slug,
            detail=self.detail,
            field=self.field,
        )
        headers = {}
        if row.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        body = shown.model_dump(exclude_none=True)
        return JSONResponse(body, row.status, headers, media_type="application/problem+json")


_BY_STATUS = {code.value.status: code for code in Code if code is not Code.BAD_SIGNATURE}


def from_status(request: Request, status: int, detail: str) -> Problem:
    """The problem for an error that the framework found by itself (unknown path, method, size)."""
    code = _BY_STATUS.get(status, Code.MALFORMED)
    if request.url.path == "/ws":
        detail = "/ws is a WebSocket, and this was a plain request; a listener opens it, with a machine key"
    elif code is Code.NOT_FOUND:
        detail = f"{request.url.path} does not exist; the endpoints are listed at /docs"
    elif code is Code.WRONG_METHOD:
        detail = f"{request.url.path} does not answer {request.method}; see /docs"
    return Problem(code, detail)


def unknown_machine(name: str, known: Iterable[str], field: str) -> Problem:
    """The problem when a request names in its *field* a machine that is none of those *known* here."""
    return Problem(Code.MALFORMED, f"No machine {name!r} is known; there is {', '.join(known)}", field=field)


def table() -> str:
    """The table as plain text, served at `/errors`, where every problem's `type` points."""
    rows = [f"#{c.slug:<16} {c.value.status}  {c.value.title}." for c in Code]
    return "\n".join(["Errors of the relay, as application/problem+json:", "", *rows, ""])
