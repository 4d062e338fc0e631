"""The addresses of OAuth: how an app finds out, registers, asks the owner and gets its tokens."""

from __future__ import annotations

import asyncio
import importlib
import math
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from relay import apps, body
from relay.consent import Consent
from relay.discovery import METADATA_PATHS, RESOURCE_PATHS, metadata, resource_metadata
from relay.errors import Code, Problem
from relay.hub import Relay
from relay.limits import Buckets

STRANGERS_PER_MINUTE = 60
"""Requests from one address that come without any key: registering and asking."""

Answer = Callable[[Request], Awaitable[Response]]


def routes(relay: Relay) -> list[Route]:
    """Every endpoint of OAuth. What needs the SDK loads it when it is asked for."""
    return _Signing(relay).routes()


class _Signing:
    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._sign_ins = relay.doors.sign_ins
        self._rate = Buckets(STRANGERS_PER_MINUTE, relay.hub.clock)
        self._desk: Any = None  # Any: `oauth.Desk`, not imported here
        self._loading = asyncio.Lock()

    def routes(self) -> list[Route]:
        consent = Consent(self._relay, self._sign_ins)
        address = self._relay.settings.address
        documents = [(path, metadata(address)) for path in METADATA_PATHS]
        documents += [(path, resource_metadata(address)) for path in RESOURCE_PATHS]
        return [
            *(Route(path, _document(document), methods=["GET"]) for path, document in documents),
            Route("/register", self._limited(self._at_desk("register")), methods=["POST"]),
            Route("/authorize", self._ask, methods=["GET", "POST"]),
            Route("/token", self._at_desk("token"), methods=["POST"]),
            Route("/revoke", self._at_desk("revoke"), methods=["POST"]),
            Route("/consent", consent.show, methods=["GET"]),
            # Not limited: there a stranger gets nowhere without the number of a sign-in, wrong keys are
            # counted, and those who knock too often must not keep the owner from answering.
            Route("/consent", consent.answer, methods=["POST"]),
        ]

    async def _ask(self, request: Request) -> Response:
        answer = self._at_desk("authorize_app")
        # Behind a proxy all have one address: strangers who knock too often must not keep the owner from
        # an app that is registered. A registered app makes room with its own sign-ins only.
        client_id = request.query_params.get("client_id", "")
        if await self._relay.writer.run(apps.find, client_id):
            return await answer(request)
        return await self._limited(answer)(request)

    def _at_desk(self, what: str) -> Answer:
        async def answer(request: Request) -> Response:
            desk = await self._open_desk()
            asked = await body.read_again(request, body.SIGN_IN_BYTES)
            answered: Response = await getattr(desk, what)(asked)
            return answered

        return answer

    async def _open_desk(self) -> Any:  # Any: as _desk
        async with self._loading:
            if self._desk is None:
                oauth = await asyncio.to_thread(importlib.import_module, "relay.oauth")
                self._desk = oauth.Desk(self._relay, self._sign_ins)
        return self._desk

    def _limited(self, answer: Answer) -> Answer:
        async def limited(request: Request) -> Response:
            address = request.client.host if request.client else "unknown"
            if seconds := self._rate.take(address):
                text = f"Too many sign-ins were begun from {address}; wait {seconds:.0f} seconds"
                raise Problem(Code.TOO_MANY, text, retry_after=math.ceil(seconds))
            return await answer(request)

        return limited


def _document(document: dict[str, Any]) -> Answer:  # Any: JSON
    async def answer(_: Request) -> Response:
        return JSONResponse(document)

    return answer
