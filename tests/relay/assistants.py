"""Assistants that speak MCP by the official client, and a machine that does what it is asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.chain import API_KEY
from tests.relay.conftest import Served

ERAS = ("legacy", "2026-07-28")
"""With the handshake of before, and without any."""
GARDEN: dict[str, Any] = {
    "name": "garden", "aliases": ["the green one"], "git": "write", "shell": "full",
    "commands": {"test": ["path"], "lint": []}, "claude": ["review", "edit"], "allow": [],
}  # fmt: skip
HOUSE: dict[str, Any] = {
    "name": "house", "aliases": [], "git": "read", "shell": "off", "commands": {}, "claude": ["plan"],
    "allow": [],
}  # fmt: skip


@asynccontextmanager
async def assistant(relay: Served, era: str = "2026-07-28", key: str = API_KEY) -> AsyncIterator[Client]:
    """An assistant that is connected to *relay* and speaks the protocol of that *era*."""
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False) as http,
        Client(streamable_http_client(f"{relay.address}/mcp", http_client=http), mode=era) as client,
    ):
        yield client


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run *work*, which never takes half a minute."""

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await work

    asyncio.run(bounded())


@contextmanager
def obedient(
    relay: Served,
    *projects: dict[str, Any],
    actions: Sequence[dict[str, Any]] = (),
    says: Callable[[dict[str, Any]], str] | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """A machine with these projects that does at once what it is asked. Gives the list of what that was.

    *says* turns a command into its output; a command whose output is "" is never finished."""
    asked: list[dict[str, Any]] = []
    over = threading.Event()

    def work() -> None:
        with relay.machine(greet=False) as machine:
            machine.greet(projects=list(projects), actions=list(actions))
            ready.set()
            while not over.is_set():
                try:
                    frame = machine.hear(0.05)
                except TimeoutError:
                    continue
                if frame["type"] != "webhook":
                    continue
                asked.append(frame)
                machine.say(type="ack", delivery_ids=[frame["delivery_id"]])
                _obey(relay, frame, says)

    ready = threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(10)
        yield asked
    finally:
        over.set()
        thread.join(10)


def _obey(relay: Served, frame: dict[str, Any], says: Callable[[dict[str, Any]], str] | None) -> None:
    data = frame["payload"]["data"]
    news = {"attempt": data.get("attempt", 1), "rev": len(frame["delivery_id"])}
    if frame["event"] == "task_cancel":
        relay.report(data["task_id"], **{**news, "status": "cancelled", "rev": 99})
    elif output := (says(data) if says and "params" in data else "done"):
        relay.report(data["task_id"], **news, output=output, headline="All is well")
