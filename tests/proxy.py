"""A small TCP proxy that can be as bad as a network: it holds, drops, resets and forgets."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from contextlib import suppress
from enum import Enum


class Mood(Enum):
    """What happens to bytes and new connections."""

    PASS = "pass"
    BLACK_HOLE = "black hole"  #: nothing arrives, and nobody is told
    REFUSE = "refuse"  #: new connections are reset


class Proxy:
    """Forwards 127.0.0.1:`port` to *target*; `mood` may change at any time."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.mood = Mood.PASS
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._deaf: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def reset(self) -> None:
        """Every open connection ends with a reset, on both sides."""
        with self._lock:
            for end in list(self._pairs):
                self._drop(end, hard=True)

    def lose(self) -> None:
        """Like a NAT that forgot: open connections go silent for ever, new ones work."""
        with self._lock:
            self._deaf |= set(self._pairs)

    def close(self) -> None:
        """Stop, and close everything."""
        self._stopping.set()
        self._thread.join(5)
        self._server.close()
        with self._lock:
            for end in list(self._pairs):
                self._drop(end, hard=False)

    def _work(self) -> None:
        with selectors.DefaultSelector() as selector:
            while not self._stopping.is_set():
                with self._lock:
                    for end in set(selector.get_map() or {}):
                        selector.unregister(end)
                    # In a black hole nothing is read, so senders fill their buffers as they would.
                    open_ends = [] if self.mood is Mood.BLACK_HOLE else [*self._pairs]
                    for end in open_ends:
                        if end not in self._deaf and end.fileno() >= 0:
                            selector.register(end, selectors.EVENT_READ)
                    if self.mood is not Mood.BLACK_HOLE:
                        selector.register(self._server, selectors.EVENT_READ)
                for key, _ in selector.select(0.01):
                    if key.fileobj is self._server:
                        self._accept()
                    else:
                        self._forward(key.fileobj)  # type: ignore[arg-type]  # only sockets are registered

    def _accept(self) -> None:
        client, _ = self._server.accept()
        if self.mood is Mood.REFUSE:
            self._linger(client)
            client.close()
            return
        try:
            target = socket.create_connection(("127.0.0.1", self._target), timeout=1)
        except OSError:
            self._linger(client)
            client.close()
            return
        with self._lock:
            self._pairs[client], self._pairs[target] = target, client

    def _forward(self, end: socket.socket) -> None:
        other = self._pairs.get(end)
        # The mood may have changed while we waited for bytes.
        if other is None or end in self._deaf or self.mood is Mood.BLACK_HOLE:
            return
        try:
            chunk = end.recv(65_536)
            if chunk:
                other.sendall(chunk)
                return
        except OSError:
            pass
        with self._lock:
            self._drop(end, hard=False)

    def _drop(self, end: socket.socket, *, hard: bool) -> None:
        other = self._pairs.pop(end, None)
        for one in (end, other):
            if one is not None:
                self._pairs.pop(one, None)
                self._deaf.discard(one)
                if hard:
                    self._linger(one)
                one.close()

    def _linger(self, end: socket.socket) -> None:
        with suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
