"""What is wrong with the machine, in one sentence each; pure. Nothing is said while all is well."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from viewer import words
from worker.inbox import Signs

PATIENCE = timedelta(seconds=5)
"""A session that was lost a moment ago is probably back in a moment."""


@dataclass(frozen=True)
class Strip:
    """A sentence, the command that helps, and a second sentence; None where there is none."""

    text: str
    since: datetime | None = None
    command: str | None = None
    more: str | None = None


def strips(signs: Signs, waiting: int, now: datetime, policy: str | None = None) -> list[Strip]:
    """What the owner should know; *waiting* tasks are to be started, *policy* is what is wrong with it."""
    missing = [
        name for name, runs in (("listener", signs.listener_runs), ("worker", signs.worker_runs)) if not runs
    ]
    found = [Strip(f"{words.plain(policy)}.")] if policy else []
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        more = f"{_tasks(waiting)} here." if waiting and not signs.worker_runs else None
        subject = f"The {' and the '.join(missing)} {verb} not running."
        found.append(
            Strip(subject, command=f"make {'-j ' * (len(missing) > 1)}{' '.join(missing)}", more=more)
        )
    if signs.listener_runs and signs.link and not signs.link.is_open and now - signs.link.since > PATIENCE:
        found.append(
            Strip("Not connected to the relay", since=signs.link.since, more="New tasks wait there.")
        )
    return found


def _tasks(number: int) -> str:
    return "1 task waits" if number == 1 else f"{number} tasks wait"
