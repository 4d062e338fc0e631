"""Why a session with the relay ended, and whether trying again can help."""

from __future__ import annotations

import os
from collections.abc import Callable
from http import HTTPStatus

from websockets.exceptions import ConnectionClosed, InvalidStatus

from relay.protocol import CloseCode

RIVAL_PAUSE_S = 60.0
"""So long a listener that was replaced leaves the relay to whoever replaced it."""
RIVAL_AGAIN_S = 300.0
"""Replaced again within this time, it is not the network: another one has the same key."""


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


def explain(problem: Exception) -> str:
    """Why a session ended, in plain words where the system has them."""
    if _is_replaced(problem):
        return "another connection with this machine's key took its place"
    if isinstance(problem, OSError) and problem.errno:
        return os.strerror(problem.errno)
    return str(problem) or type(problem).__name__


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
