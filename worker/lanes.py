"""Lanes: tasks that may change the same repository run one after the other, in their order.

A lane is the real path of what is changed. It is held by the row that runs in it, so nothing has
to be given back when a worker dies."""

from __future__ import annotations

from datetime import datetime

from worker.models import Task

# Nothing runs in its lane, and nothing that came earlier waits for it. The statuses are those of
# the partial index, in its words.
IS_FREE = """(lane IS NULL OR NOT EXISTS (SELECT 1 FROM tasks AS other
WHERE other.lane = tasks.lane AND other.status IN ('pending', 'running')
AND (other.status = 'running' OR other.seq < tasks.seq)))"""
_WAITS = f"SELECT * FROM tasks WHERE status IN ('pending', 'running') AND status = 'pending' AND {IS_FREE}"  # noqa: S608 - our own words


def next_in(lane: str) -> Task | None:
    """The task that may start in *lane* now; None while one runs there and when none waits."""
    found = Task.run(f"{_WAITS} AND lane = ? ORDER BY seq LIMIT 1", lane)
    return found[0] if found else None


def could_start(said_before: datetime, limit: int) -> list[Task]:
    """Tasks that were asked for before *said_before*, on the steady clock, and wait though nothing holds
    them up, oldest first."""
    return Task.run(f"{_WAITS} AND said_at < ? ORDER BY seq LIMIT ?", said_before, limit)
