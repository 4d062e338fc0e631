"""`/mcp`: who comes in, and to what. The SDK behind it takes a second and 27 MB to load, so it is
loaded when the first assistant knocks; a relay that is used by webhooks only never does."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from relay import body
from relay.auth import presented_key
from relay.discovery import challenge
from relay.errors import Code, Problem
from relay.hub import Relay
from relay.tools import CALLER

PATH = "/mcp"
LOCAL = ("127.0.0.1", "localhost", "[::1]")
_PARSE_ERROR, _INVALID_REQUEST = -32700, -32600  # of JSON-RPC
_EXAMPLE = '{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}'


class Door:
    """An ASGI application for PATH alone."""

    def __init__(self, relay: Relay, version: str) -> None:
        self._relay = relay
        self._version = version
        self._serving: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[Any]  # Any: the SDK's session manager, not imported here

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Serve while the block runs."""
        yield
        if self._serving:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whoever it comes from is known before its body is read."""
        request = Request(scope, receive)
        if request.method == "OPTIONS":
            await Response(status_code=204, headers={"Allow": "OPTIONS, POST"})(scope, receive, send)
            return
        try:
            self._check_host(request)
            CALLER.set(self._relay.doors.caller(request))
            _check_type(request)
            raw = await body.read(request)
        except Problem as problem:
            answer = problem.response()
            if problem.code is Code.UNKNOWN_KEY:
                # An app that has no key yet finds out from this how to sign in.
                answer.headers["WWW-Authenticate"] = challenge(
                    self._relay.settings.address, is_wrong=presented_key(request.headers) is not None
                )
            await answer(scope, receive, send)
            return
        if error := _mistake(raw):
            await JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, 400)(scope, receive, send)
            return
        manager = await self._manager()
        # The HTTP parser leaves blanks at the end of a value, which the SDK compares with the body.
        headers = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        await manager.handle_request({**scope, "headers": headers}, body.replay(raw, receive), send)

    def _check_host(self, request: Request) -> None:
        """The SDK refuses strange hosts as well, but says nothing that helps."""
        host = request.headers.get("host", "")
        if not _is_among(host, self._hosts()):
            raise Problem(
                Code.WRONG_HOST,
                f"This relay does not know that it is {host[:100]!r}; set PUBLIC_URL in its .env to the "
                "address under which it is reached",
            )

    def _hosts(self) -> list[str]:
        own = urlsplit(self._relay.settings.address).netloc.partition(":")[0]
        return [one for host in (own, *LOCAL) for one in (host, f"{host}:*")]

    async def _manager(self) -> Any:  # Any: as _ready
        if self._serving is None:
            self._ready = asyncio.get_running_loop().create_future()
            self._serving = asyncio.create_task(self._serve())
        return await asyncio.shield(self._ready)

    async def _serve(self) -> None:
        try:
            mcp = await asyncio.to_thread(importlib.import_module, "relay.mcp")
            server = mcp.Server(self._relay, self._version)
            manager = mcp.session_manager(server, self._hosts(), [self._relay.settings.address])
            async with manager.run():
                self._ready.set_result(manager)
                await asyncio.Event().wait()
        except Exception as problem:
            if self._ready.done():
                raise
            self._ready.set_exception(problem)


def _check_type(request: Request) -> None:
    seen = request.headers.get("content-type", "")
    if seen.partition(";")[0].strip().lower() != "application/json":
        raise Problem(Code.MALFORMED, f"Content-Type must be application/json, not {seen[:60]!r}")


def _mistake(raw: bytes) -> dict[str, Any] | None:  # Any: JSON
    """An error of JSON-RPC for what is none of its messages; the SDK's is of a validator's own words."""
    try:
        message = body.parse(raw)
    except Problem as problem:
        return {"code": _PARSE_ERROR, "message": problem.detail}
    params = message.get("params")
    is_call = isinstance(message.get("method"), str) and (params is None or isinstance(params, dict))
    is_answer = "id" in message and ("result" in message or "error" in message)
    if message.get("jsonrpc") == "2.0" and (is_call or is_answer):
        return None
    return {"code": _INVALID_REQUEST, "message": f"This is no JSON-RPC message; send one such as {_EXAMPLE}"}


def _is_among(host: str, allowed: list[str]) -> bool:
    return any(host == one or (one.endswith(":*") and host.startswith(one[:-1])) for one in allowed)
