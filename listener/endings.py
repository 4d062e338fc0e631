"""Why a session with the relay ended, and whether trying again can help."""

from __future__ import annotations

import os
from http import HTTPStatus

from websockets.exceptions import ConnectionClosed, InvalidStatus

from relay.protocol import CloseCode


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
    """Why a session ended, in plain words where the system has them. Raises Hopeless."""
    if isinstance(problem, ConnectionClosed) and problem.rcvd and problem.rcvd.code == CloseCode.SUPERSEDED:
        raise Hopeless(
            "Another listener connected with this machine's key, so this one stops; "
            "give every machine a key of its own"
        )
    if isinstance(problem, OSError) and problem.errno:
        return os.strerror(problem.errno)
    return str(problem) or type(problem).__name__
