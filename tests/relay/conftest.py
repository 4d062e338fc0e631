"""A real relay on a port of the system's choice, callers that speak HTTP, machines that speak WebSocket."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from relay import auth, signing
from relay.app import create_app
from relay.protocol import MAX_FRAME_BYTES
from relay.server import Server, configuration, listen
from relay.settings import Settings
from tests.chain import API_KEY, GITHUB_SECRET, MACHINE_KEY, wait_until

SECOND_KEY = "fake-key-of-a-second-machine-0000"
WEBHOOK_SECRET = "whsec_ZmFrZS1zZWNyZXQtZm9yLXRlc3RzLTAwMDA="


class Machine:
    """One session of a machine with the relay."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def say(self, **frame: Any) -> None:
        self.connection.send(json.dumps(frame))

    def hear(self, timeout: float = 10) -> dict[str, Any]:
        return dict(json.loads(self.connection.recv(timeout)))

    def is_silent(self) -> bool:
        """Whether nothing but the answer to a heartbeat comes: everything sent before it has arrived."""
        self.say(type="heartbeat")
        return bool(self.hear()["type"] == "heartbeat_ack")

    def greet(self, **more: Any) -> dict[str, Any]:
        self.say(type="hello", protocol=1, machine="laptop", version="test", **more)
        return self.hear()

    def webhook(self) -> dict[str, Any]:
        frame = self.hear()
        assert frame["type"] == "webhook", frame
        return frame

    def ack(self, *delivery_ids: str) -> None:
        self.say(type="ack", delivery_ids=delivery_ids)
        # The answer comes after the acknowledgement has been read.
        assert self.is_silent()

    def close_code(self) -> int:
        """The code with which the relay ends this session."""
        with suppress(ConnectionClosed):
            while True:
                self.connection.recv(10)
        assert self.connection.close_code is not None
        return self.connection.close_code


class Served:
    """A running relay."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self.address = f"http://127.0.0.1:{port}"
        self.database = folder / "relay.db"
        self.http = httpx.Client(
            base_url=self.address, headers={"X-API-Key": API_KEY}, timeout=30, trust_env=False, verify=False
        )
        self._others = ThreadPoolExecutor(16)

    def later(self, work: Callable[[], httpx.Response]) -> Future[httpx.Response]:
        """Do *work* beside the test."""
        return self._others.submit(work)

    def post(self, payload: Any, **options: Any) -> httpx.Response:
        return self.http.post("/webhook", json=payload, **options)

    def command(self, action_type: str = "git", **data: Any) -> httpx.Response:
        """Post a command; `headers` and `params` go to the request."""
        options = {name: data.pop(name) for name in ("headers", "query") if name in data}
        body = {"type": "task_command", "data": {"action_type": action_type, **data}}
        return self.post(body, headers=options.get("headers"), params=options.get("query"))

    def report(self, where: str, *, key: str = MACHINE_KEY, **news: Any) -> httpx.Response:
        body = {"task_id": where, "rev": 1, "attempt": 1, "status": "completed", **news}
        return self.http.put(f"/tasks/{where}", json=body, headers={"X-API-Key": key})

    def task(self, task_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"/tasks/{task_id}").raise_for_status().json())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the file holds, seen and changed from outside."""
        with closing(sqlite3.connect(self.database, isolation_level=None, timeout=10)) as outside:
            return outside.execute(query).fetchall()

    def state(self, task_id: str) -> list[tuple[str, str, int]]:
        """Event, state and number of sends of every delivery about a task."""
        which = f"WHERE task_id = '{task_id}' ORDER BY seq"
        return self.rows(f"SELECT event, state, sends FROM deliveries {which}")

    def order(self, task_id: str, order: str, **options: Any) -> httpx.Response:
        """POST to `/tasks/{id}/cancel` or `/retry`."""
        return self.http.post(f"/tasks/{task_id}/{order}", **options)

    @contextmanager
    def machine(self, key: str = MACHINE_KEY, *, greet: bool = True) -> Iterator[Machine]:
        """A machine that is connected, and by default has said hello."""
        with connect(
            f"ws://127.0.0.1:{self.port}/ws",
            additional_headers={"Authorization": f"Bearer {key}"},
            compression=None, max_size=MAX_FRAME_BYTES, close_timeout=2, proxy=None,
        ) as connection:  # fmt: skip
            machine = Machine(connection)
            if greet:
                assert machine.greet()["type"] == "welcome"
            yield machine

    def close(self) -> None:
        self.http.close()
        self._others.shutdown()


class _Server(Server):
    """Looks ten times as often as uvicorn whether it should stop: hundreds of tests wait for that."""

    async def main_loop(self) -> None:
        await self.on_tick(0)
        while not self.should_exit:  # noqa: ASYNC110 - as uvicorn does
            await asyncio.sleep(0.01)


class Clocks:
    """The wall clock and the steady one; both stand where a test puts them."""

    def __init__(self, wall: float = 1_800_000_000.0) -> None:
        self.wall = self.steady = wall

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@contextmanager
def serve(
    folder: Path, *, failures: int = 0, clocks: Clocks | None = None, **settings: str
) -> Iterator[Served]:
    """Run a relay in *folder* until the block ends, as `relay.server` does.

    How often somebody may knock is limited where a test asks for it: they all come from one address."""
    own = {
        "API_KEY": f"phone={API_KEY}", "MACHINE_KEY": MACHINE_KEY, "GITHUB_WEBHOOK_SECRET": GITHUB_SECRET,
        "WEBHOOK_SECRET": f"zapier={WEBHOOK_SECRET}", "RATE_LIMIT_PER_MINUTE": "0",
        "RELAY_SQLITE_PATH": str(folder / "relay.db"),
    }  # fmt: skip
    times = (lambda: clocks.wall, lambda: clocks.steady) if clocks else ()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auth, "FAILURES_PER_MINUTE", failures)
        patch.setattr(signing, "STRANGERS_PER_MINUTE", failures)
        listening = listen("127.0.0.1", 0)
        own["PUBLIC_URL"] = f"http://127.0.0.1:{listening.getsockname()[1]}"
        app = create_app(Settings.read({**own, **settings}), *times)
    config = configuration(app)
    config.timeout_graceful_shutdown = 1
    server = _Server(config, app.state.stopping)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    served = Served(listening.getsockname()[1], folder)
    try:
        wait_until(lambda: server.started, "the relay serves")
        yield served
    finally:
        served.close()
        server.should_exit = True
        thread.join(10)
        listening.close()
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One relay for all tests of a module; a machine that connects to it leaves nothing behind."""
    with serve(tmp_path_factory.mktemp("relay")) as served:
        yield served


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Served]:
    """A relay of one's own."""
    with serve(tmp_path) as served:
        yield served


@pytest.fixture
def two_machines(tmp_path: Path) -> Iterator[Served]:
    """A relay that knows the machines laptop and tower."""
    with serve(tmp_path, MACHINE_KEY=f"laptop={MACHINE_KEY},tower={SECOND_KEY}") as served:
        yield served


@pytest.fixture
def second_key() -> str:
    return SECOND_KEY
