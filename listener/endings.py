"""Why a session with the relay ended, and whether trying again can help."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidStatus

from relay.protocol import CloseCode

RIVAL_PAUSE_S = 60.0
"""So long a listener that was replaced leaves the relay to whoever replaced it."""
RIVAL_AGAIN_S = 300.0
"""Replaced again within this time, it is not the network: another one has the same key."""

_ENDS = {1000: "the relay ended the session", 1001: "the relay stops", 1012: "the relay restarts"}


class Broken(Exception):
    """This session is over; the text says why. Another one is tried."""


class Hopeless(Exception):
    """Trying again cannot help; the text says what to put right."""


def explain_refusal(refusal: InvalidStatus, relay_address: str) -> str:
    """Why no session was opened. Raises Hopeless."""
    status = refusal.response.status_code
    if is_hopeless(status):
        raise Hopeless(
            f"The relay at {relay_address} refuses this machine's key ({status}); "
            "compare MACHINE_KEY in .env on both sides"
        )
    return f"it answered {status} instead of opening a session"


def is_hopeless(status: int) -> bool:
    """Whether an HTTP answer to the upgrade means that trying again cannot help: the key is wrong.

    Everything else passes: a captive portal's 200, a 404 or 502 during a deploy, 429, a redirect."""
    return status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


def explain(problem: Exception, relay_address: str) -> str:
    """Why a session ended, in plain words where there are some."""
    if isinstance(problem, ConnectionClosed):
        return _explain_close(problem)
    if isinstance(problem, socket.gaierror):
        host = urlsplit(relay_address).hostname
        if problem.errno == socket.EAI_AGAIN:
            return f"the name {host} cannot be looked up now"
        return f"the name {host} is not known; look at RELAY_SERVER_URL"
    if isinstance(problem, ssl.SSLError):
        return f"no safe line to it ({getattr(problem, 'verify_message', None) or problem.strerror})"
    if isinstance(problem, OSError) and problem.errno:
        return os.strerror(problem.errno)
    if isinstance(problem, TimeoutError):
        return str(problem) or "no answer came in time"
    return str(problem) or type(problem).__name__


def _explain_close(closed: ConnectionClosed) -> str:
    if _is_replaced(closed):
        return "another connection with this machine's key took its place"
    if closed.rcvd:
        told = closed.rcvd.reason or _ENDS.get(closed.rcvd.code)
        return told or f"the relay ended the session with the code {closed.rcvd.code:d}"
    # Nothing was said to us: what we said ourselves is how we noticed.
    return (
        f"the line is dead, {closed.sent.reason}"
        if closed.sent and closed.sent.reason
        else "the line was cut"
    )


class Rivals:
    """Whether another listener has this machine's key. A single replacement proves nothing: a connection
    of our own that was long on its way can do it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """*clock* gives seconds and never goes back."""
        self._clock = clock
        self._met_at: float | None = None

    def pause(self, problem: Exception) -> float:
        """How long to leave the relay to a newer session; 0 when *problem* is something else. Raises
        Hopeless when that has happened a short while ago already."""
        if not _is_replaced(problem):
            return 0.0
        before, self._met_at = self._met_at, self._clock()
        if before is not None and self._met_at - before < RIVAL_AGAIN_S:
            raise Hopeless(
                "Another listener connected with this machine's key again, so this one stops; "
                "give every machine a key of its own"
            )
        return RIVAL_PAUSE_S


def _is_replaced(problem: Exception) -> bool:
    closed = problem.rcvd if isinstance(problem, ConnectionClosed) else None
    return closed is not None and closed.code == CloseCode.SUPERSEDED
