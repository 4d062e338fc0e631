"""A relay that does as the test says, for the real listener."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from listener import backoff
from listener.client import Client
from listener.settings import Settings
from relay.announced import Announced, AnnouncedAction
from relay.protocol import Fetched, Webhook
from tests.chain import MACHINE_KEY
from worker.inbox import Unacceptable

Talk = Callable[["Session"], Awaitable[None]]
Refusal = Callable[[Request], Response | None]


class Session:
    """One session that a listener opened, seen from the relay."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.key = connection.request.headers["Authorization"] if connection.request else None

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            return dict(json.loads(await self.connection.recv()))

    async def say(self, text: str | dict[str, Any]) -> None:
        await self.connection.send(text if isinstance(text, str) else json.dumps(text))

    async def welcome(self) -> dict[str, Any]:
        hello = await self.hear()
        await self.say({"type": "welcome", "machine": "laptop", "waiting": 0})
        return hello

    async def webhook(self, number: int, **changes: Any) -> None:
        frame = {
            "type": "webhook", "event": "note", "delivery_id": f"d{number}",
            "timestamp": "2026-03-01T12:00:00Z",
            "payload": {"number": number}, "caller": "phone", "expires_in": 60, "attempt": 1,
        }  # fmt: skip
        await self.say({**frame, **changes})

    async def is_closed(self) -> None:
        """Wait until the listener has gone."""
        async with asyncio.timeout(15):
            with suppress(ConnectionClosed):
                while True:
                    await self.connection.recv()


class Relay:
    """Lets each session run through the next talk; the last one stands for all that follow."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.sessions = 0
        self.faults: list[BaseException] = []
        self.port = 0

    @asynccontextmanager
    async def serve(self, *talks: Talk, refuse: Refusal | None = None) -> AsyncIterator[None]:
        todo = list(talks)

        def process(connection: ServerConnection, request: Request) -> Response | None:
            self.requests.append(request)
            return refuse(request) if refuse else None

        async def handle(connection: ServerConnection) -> None:
            self.sessions += 1
            talk = todo.pop(0) if len(todo) > 1 else todo[0]
            try:
                await talk(Session(connection))
            except ConnectionClosed:
                pass
            except BaseException as fault:
                self.faults.append(fault)
                raise

        async with serve(
            handle, "127.0.0.1", 0, process_request=process, max_size=None, ping_interval=None
        ) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield
        assert self.faults == []


COUNT = AnnouncedAction(name="word_count", description="Count words.", parameters={"type": "object"})


class Inbox:
    """Takes everything, unless told otherwise; the faults of real inboxes are real exceptions."""

    def __init__(self) -> None:
        self.taken: list[Webhook] = []
        self.threads: set[str] = set()
        self.links: list[tuple[str, bool]] = []
        self.fault: Callable[[Webhook], Exception | None] = lambda _: None
        self.told = Announced(projects=[])
        self.has_worker = True
        self.queued = 0
        self.fetched: list[str] = []

    def accept(self, webhooks: Sequence[Webhook]) -> list[Unacceptable | None]:
        self.threads.add(threading.current_thread().name)
        faults = [self.fault(webhook) for webhook in webhooks]
        for fault in faults:
            if fault is not None and not isinstance(fault, Unacceptable):
                raise fault
        self.taken += [one for one, fault in zip(webhooks, faults, strict=True) if fault is None]
        return [fault if isinstance(fault, Unacceptable) else None for fault in faults]

    def worker_runs(self) -> bool:
        return self.has_worker

    def load(self) -> tuple[int, int]:
        return 0, self.queued

    def announced(self) -> Announced:
        return self.told

    def note_fetched(self, fetched: Sequence[Fetched]) -> None:
        self.fetched += [one.task_id for one in fetched]

    def tell_link(self, machine: str, version: str, *, is_open: bool) -> None:
        self.links.append((machine, is_open))


@pytest.fixture
def relay() -> Relay:
    return Relay()


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def listen(relay: Relay, inbox: Inbox) -> Callable[..., Any]:
    """A listener in the test's own event loop: `task = listen()`; it ends when it is cancelled."""

    def _listen(**settings: str) -> asyncio.Task[None]:
        own = {"MACHINE_KEY": MACHINE_KEY, "RELAY_SERVER_URL": f"http://127.0.0.1:{relay.port}", **settings}
        return asyncio.create_task(Client(Settings.read(own), lambda: inbox, lambda: 0.5).run())

    return _listen


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again after moments, so that no test has to wait."""
    monkeypatch.setattr(backoff, "FIRST_S", 0.02)
    monkeypatch.setattr(backoff, "LONGEST_S", 0.05)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
