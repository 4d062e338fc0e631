"""Clients that hold connections open and hardly say anything: what slow loris attacks are made of."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.bench.load import http
from tests.chain import API_KEY

_WHOLE = http(b"x" * 2_000)
_HALF_HEADERS = _WHOLE[:60]
_HALF_BODY = _WHOLE[:-1_000]
# Whoever signs is let in as far as the body, without any key.
_HALF_SIGNED = _HALF_BODY.replace(f"X-API-Key: {API_KEY}".encode(), b"X-Hub-Signature-256: sha256=0")
_BEGINNINGS = (_HALF_HEADERS, _HALF_BODY, _HALF_SIGNED, b"")


class Crowd:
    """Slow clients of four kinds: half of the headers, half of a body with a key, half of a signed
    one, and one byte of a request each second. Whoever is sent away comes again within a second."""

    def __init__(self, port: int, count: int) -> None:
        self.reopened = 0
        self._port = port
        self._sockets = [self._open(number) for number in range(count)]
        self._said = [0] * count
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        for one in self._sockets:
            one.close()

    def _open(self, number: int) -> socket.socket:
        one = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        one.sendall(_BEGINNINGS[number % 4])
        one.setblocking(False)
        return one

    def _work(self) -> None:
        while not self._over.wait(1):
            for number, one in enumerate(self._sockets):
                if self._was_sent_away(one):
                    one.close()
                    self._sockets[number], self._said[number] = self._open(number), 0
                    self.reopened += 1
                elif number % 4 == 3:
                    with suppress(OSError):
                        one.send(_WHOLE[self._said[number] : self._said[number] + 1])
                    self._said[number] += 1

    @staticmethod
    def _was_sent_away(one: socket.socket) -> bool:
        try:
            # An answer, too, means that the relay is done with this request.
            one.recv(65_536)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True


@contextmanager
def clients(port: int, count: int) -> Iterator[Crowd]:
    """*count* slow clients around the block."""
    crowd = Crowd(port, count)
    try:
        time.sleep(0.5)
        yield crowd
    finally:
        crowd.close()
