"""A load generator that costs less than what it loads: prebuilt bytes over epoll, in a process of its own.

Each connection has one request under way. The answer is read as far as its status and length."""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

from tests.bench.table import percentile
from tests.chain import API_KEY, ROOT

_SILENCE_S = 30


@dataclass
class Load:
    """What came back. `answers` counts by "kind status"; times are in milliseconds."""

    answers: Counter[str] = field(default_factory=Counter)
    times_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of the generator itself."""

    @property
    def rate(self) -> float:
        return len(self.times_ms) / self.seconds

    def at(self, share: float) -> float:
        return percentile(self.times_ms, share)


def http(body: bytes, *, path: str = "/webhook", key: str | None = API_KEY) -> bytes:
    """A whole POST, as it goes over the wire."""
    shown = f"X-API-Key: {key}\r\n" if key else ""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{shown}Content-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def command(action_type: str, params: dict[str, Any], **more: Any) -> bytes:
    """A command as a phone sends it."""
    data = {"action_type": action_type, "params": params, **more}
    return json.dumps({"type": "task_command", "data": data}).encode()


def run(
    port: int, requests: Sequence[tuple[str, bytes]], *, connections: int = 32, seconds: float = 0
) -> Load:
    """Send `(kind, bytes)` to 127.0.0.1:*port* over *connections*, in a process of its own: round and
    round for *seconds*, or each once when that is 0."""
    order = {
        "port": port,
        "requests": [(kind, raw.decode("latin-1")) for kind, raw in requests],
        "connections": connections,
        "seconds": seconds,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.load"],
        cwd=ROOT, input=json.dumps(order).encode(), stdout=subprocess.PIPE, check=True, timeout=seconds + 300,
    )  # fmt: skip
    answer = json.loads(done.stdout)
    return Load(**{**answer, "answers": Counter(answer["answers"])})


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.kind = ""
        self.sent_at = 0.0
        self.seen = b""

    def send(self, kind: str, raw: bytes) -> None:
        self.kind, self.seen = kind, b""
        self.sent_at = time.perf_counter()
        self.socket.sendall(raw)

    def status(self) -> int | None:
        """Read what is there; the status once the whole answer is."""
        data = self.socket.recv(65_536)
        if not data:
            raise ConnectionResetError(f"the server closed a connection after {self.seen[:200]!r}")
        self.seen += data
        head = self.seen.find(b"\r\n\r\n")
        if head < 0:
            return None
        at = self.seen.lower().index(b"content-length:") + 15
        length = int(self.seen[at : self.seen.index(b"\r", at)])
        return int(self.seen[9:12]) if len(self.seen) >= head + 4 + length else None


def _drive(port: int, todo: Iterator[tuple[str, bytes]], connections: int, seconds: float) -> Load:
    load = Load()
    used = time.process_time()
    poller = select.epoll()
    everyone = {}
    for connection in (_Connection(port) for _ in range(connections)):
        everyone[connection.socket.fileno()] = connection
        poller.register(connection.socket, select.EPOLLIN)
    begun = time.perf_counter()
    until = begun + seconds if seconds else float("inf")
    busy = {one: connection for one, connection in everyone.items() if _next(connection, todo)}
    while busy:
        if not (ready := poller.poll(_SILENCE_S)):
            raise TimeoutError(f"no answer for {_SILENCE_S} seconds on {len(busy)} connections")
        for number, _ in ready:
            status = everyone[number].status()
            if status is None:
                continue
            now = time.perf_counter()
            load.answers[f"{everyone[number].kind} {status}"] += 1
            load.times_ms.append(round((now - everyone[number].sent_at) * 1_000, 3))
            if now >= until or not _next(everyone[number], todo):
                del busy[number]
    load.seconds = time.perf_counter() - begun
    load.cpu_seconds = time.process_time() - used
    return load


def _next(connection: _Connection, todo: Iterator[tuple[str, bytes]]) -> bool:
    if request := next(todo, None):
        connection.send(*request)
    return request is not None


def main() -> None:
    order = json.load(sys.stdin)
    requests = [(kind, raw.encode("latin-1")) for kind, raw in order["requests"]]
    todo = cycle(requests) if order["seconds"] else iter(requests)
    json.dump(vars(_drive(order["port"], todo, order["connections"], order["seconds"])), sys.stdout)


if __name__ == "__main__":
    main()
