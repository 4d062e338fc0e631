"""Why the relay cannot be reached, in plain words."""

from __future__ import annotations

import os

from urllib3 import exceptions


class Away(Exception):
    """The relay cannot take reports now; the text says why."""


def away(problem: exceptions.HTTPError) -> Away:
    """What *problem* means to people: the library's words name its classes and how often it tried."""
    reason = problem.reason if isinstance(problem, exceptions.MaxRetryError) else problem
    return Away(_explain(reason or problem))


def _explain(reason: Exception) -> str:
    cause = reason.__cause__
    # Before the system's words: its number is another one there.
    if isinstance(reason, exceptions.SSLError):
        return f"no safe line to it ({reason})"
    if isinstance(reason, exceptions.NameResolutionError):
        return "its name cannot be looked up; look at RELAY_SERVER_URL if that lasts"
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno)
    if isinstance(reason, exceptions.TimeoutError):
        return "it did not answer in time"
    if isinstance(reason, exceptions.ResponseError):
        return "it sends elsewhere, where the key must not go"
    return "the line was cut"
