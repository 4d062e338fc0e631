"""Reading a request's body: bounded in size and in time, then as one JSON object."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from relay.errors import Code, Problem
from relay.protocol import MAX_BODY_BYTES
from relay.strict_json import BadJSON, parse_json

SIGN_IN_BYTES = 65_536
"""Of one request of a sign-in. Strangers send them, and of one that was begun some is kept for minutes."""
_SHOWN_DIGITS = 20
BODY_S = 15.0
"""A body that takes longer comes from a broken or a hostile client."""


async def read(request: Request, most: int = MAX_BODY_BYTES) -> bytes:
    """The whole body. Raises Problem 413 above *most* bytes and 422 when it stops coming."""
    try:
        async with asyncio.timeout(BODY_S):
            return await _collect(request, most)
    except TimeoutError:
        raise Problem(
            Code.MALFORMED,
            f"The body was not complete after {BODY_S:.0f} seconds; send it in one go",
        ) from None
    except ClientDisconnect:
        # Nobody hears this answer; without it the framework logs a fault of ours.
        raise Problem(Code.MALFORMED, "The connection ended before the body did; send it again") from None


async def read_again(request: Request, most: int) -> Request:
    """*request* for somebody who wants to read its body, once that was read by `read`."""
    return Request(request.scope, replay(await read(request, most), request.receive))


def replay(body: bytes, receive: Receive) -> Receive:
    """Gives *body*, which was read already, and then whatever comes."""
    todo: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replaying() -> Message:
        return todo.pop() if todo else await receive()

    return replaying


def parse(body: bytes) -> dict[str, Any]:
    """The body as a JSON object. Raises Problem 422 that says what is wrong with it."""
    if not body.strip():
        raise Problem(Code.MALFORMED, "The body is empty; send one JSON object, see /docs for an example")
    try:
        return parse_json(body)
    except BadJSON as problem:
        raise Problem(
            Code.MALFORMED,
            f"The body must be one JSON object, but {problem}; see /docs for an example",
        ) from None


async def _collect(request: Request, most: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and _is_more(declared, most):
        raise _too_large(declared.lstrip("0")[:_SHOWN_DIGITS], most)
    body, more = bytearray(), True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > most:
            raise _too_large(f"more than {most}", most)
        more = message.get("more_body", False)
    return bytes(body)


def _is_more(digits: str, most: int) -> bool:
    """Whether this number is more than *most*. Python refuses to read thousands of digits."""
    digits = digits.lstrip("0")
    return len(digits) > _SHOWN_DIGITS or int(digits or "0") > most


def _too_large(seen: str, most: int) -> Problem:
    allowed = f"{most} ({most // 1024} KiB)"
    text = f"The body has {seen} bytes and {allowed} are allowed; send less, or a link to it"
    return Problem(Code.TOO_LARGE, text)
