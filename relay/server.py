"""The relay's HTTP server: uvicorn, made impatient with clients that send nothing or take nothing."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from asyncio import AbstractEventLoop, TimerHandle, Transport
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from relay.protocol import MAX_FRAME_BYTES

HEADERS_S = 10.0
"""A request line with its headers that takes longer never comes from a client of ours."""
MAX_HEADERS_BYTES = 65_536
"""A request line with its headers that is longer is none of ours, and uvicorn would keep all of it."""
MAX_PIPELINED = 64
"""Requests of one connection that wait for the answer to an earlier one. Ours send one at a time."""
REST_S = 15.0
"""A body of which nobody wants to know any more, since it was answered already, must have come by then."""
KEEP_ALIVE_S = 75
"""Longer than the 60 s for which hosting edges keep their own connection to us."""
UNSENT_S = 15
"""A peer that acknowledges no byte for so long is gone, whatever the socket says."""


class CannotListen(Exception):
    """HOST and PORT cannot be used; the text says why and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises CannotListen."""
    try:
        listening = socket.create_server((host, port), backlog=2048)
    except OSError as problem:
        raise CannotListen(
            f"HOST {host}, PORT {port} cannot be used ({os.strerror(problem.errno or 0)}); "
            "stop what uses it or set another PORT"
        ) from None
    # Accepted sockets inherit both options. asyncio sets the first by itself only on sockets that
    # name their protocol, which these do not; without it some answers wait 40 ms for nothing.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Without it a dead machine with a full send buffer keeps its
        # session for a quarter of an hour: closing waits for bytes that nobody takes.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNSENT_S * 1_000)
    return listening


def serve(app: ASGIApp, listening: socket.socket, stopping: Callable[[], None]) -> None:
    """Serve *app* until SIGTERM or SIGINT. Then *stopping* is called, and what is open gets 3 seconds
    to end."""
    # Requests leave no cycles behind. Looking for them as often as Python does, and through all that
    # was there from the start, takes a sixth of the time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    # The writer thread leaves the interpreter at every statement and wants it back microseconds
    # later. At Python's 5 ms it interrupts the event loop in the middle of requests; so it waits until
    # the loop turns to the network, which it does several times a millisecond.
    sys.setswitchinterval(0.05)
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn tidies up first, and then hands the signal on to whoever had it before.
        signal.signal(number, _end)
    Server(configuration(app), stopping).run(sockets=[listening])


def _end(*_: object) -> None:
    sys.exit(0)


class Server(uvicorn.Server):
    """uvicorn's server, which says that it stops before it waits for open requests to end. The end of
    the lifespan is too late for that: it comes after them."""

    def __init__(self, config: uvicorn.Config, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()
        await super().shutdown(sockets)


def configuration(app: ASGIApp) -> uvicorn.Config:
    """How uvicorn serves *app*."""
    return uvicorn.Config(
        app,
        http=_ImpatientHTTP,
        ws=_PolitelyRefusing,
        ws_max_size=MAX_FRAME_BYTES,
        # A dead machine is found within 20 seconds, also behind a proxy that keeps TCP alive.
        ws_ping_interval=10,
        ws_ping_timeout=10,
        # Our frames are small; compression would double the memory of a session.
        ws_per_message_deflate=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        # Sessions never end by themselves; without this a stop would wait for them for ever.
        timeout_graceful_shutdown=3,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )


class _PolitelyRefusing(WebSocketsSansIOProtocol):
    """uvicorn's WebSockets, which take a refusal for a fault of the application and log one each time."""

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if self.close_sent:
            # Also by an answer of HTTP, after which there is nothing to complete.
            self.handshake_complete = True


class _OneSegment(Transport):
    """What one answer is written to. uvicorn writes its head and its body each for itself; here the
    head waits for what is written in the same turn of the event loop, so that most answers are one
    system call and one segment. A head whose body takes longer goes ahead of it."""

    def __init__(self, transport: Transport, loop: AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = None
        self._is_begun = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._is_begun:
            self._is_begun = True
            self._head = bytes(data)
            self._loop.call_soon(self._flush)
        elif self._head is not None:
            self._head += data
            self._flush()
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._head is not None:
            data, self._head = self._head, None
            self._transport.write(data)


class _ImpatientHTTP(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which has no time-out of its own for headers, nor for the rest of a request
    that was answered before it was complete."""

    _timer: TimerHandle | None = None
    _begun = False
    _begun_bytes = 0
    _is_incomplete = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn does
        super().connection_made(transport)
        self._arm(HEADERS_S)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_answered() and not self._is_incomplete and self.timeout_keep_alive_task is None:
            # uvicorn has just put its timer off, for the rest of a request that nobody will answer again.
            self._keep_alive()
        # Headers that come in one piece, as nearly all do, are complete by now and need no timer.
        if not self._begun:
            return
        self._begun_bytes += len(data)
        if self._begun_bytes > MAX_HEADERS_BYTES:
            self.transport.abort()
        elif self._timer is None:
            self._arm(HEADERS_S)

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINED:
            # The parser makes a 400 of it. uvicorn itself would read on after each answer, for ever.
            raise ValueError("too many requests at once")
        super().on_message_begin()
        self._begun, self._begun_bytes, self._is_incomplete = True, 0, True

    def on_header(self, name: bytes, value: bytes) -> None:
        # What comes behind a body would be kept without a limit, and nobody reads it.
        if self._begun:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._begun = False
        self._disarm()
        super().on_headers_complete()
        # There is none when a session begins.
        if self.cycle is not None:
            self.cycle.transport = _OneSegment(self.transport, self.loop)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_incomplete = False
        self._disarm()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # Strangers are answered before their body is read. Closing at once would take the answer away
        # from those who are still sending.
        if self._is_answered() and self._is_incomplete:
            self._arm(REST_S)

    def _is_answered(self) -> bool:
        """Whether there is no request that waits for an answer."""
        if self._begun or self.cycle is None or self.transport.is_closing():
            return False
        if self.transport.get_protocol() is not self:
            return False  # A session has taken the connection over, after a request that was answered.
        return self.cycle.response_complete

    def _keep_alive(self) -> None:
        patience, close = self.timeout_keep_alive, self.timeout_keep_alive_handler
        self.timeout_keep_alive_task = self.loop.call_later(patience, close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
