"""Every change of the machine's records. Each is one compare-and-set UPDATE, so of two processes
that want to move a task only one wins, and a late one changes nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from relay.protocol import Reason, Status, sources
from worker.models import Attempt, Event, Task, database, next_rev

EXPIRED = "It was not started in time; say it again if it is still wanted"
INTERRUPTED = "The worker stopped while it ran; nothing was repeated. Run it again if that is safe"


def insert(now: datetime, **values: Any) -> Task | None:  # Any: one value per column
    """Add a task; None when the id is taken."""
    insertion = Task.insert(created_at=now, rev=next_rev(), **values).on_conflict_ignore()
    return _only(insertion)


def claim(task_id: str, owner: str, now: datetime) -> Task | None:
    """Take a waiting task for *owner*. None when there is nothing to run: it was taken, ended or
    never there, or its time had passed, in which case it ends as expired here."""
    values = {"owner": owner, "started_at": now}
    if task := _move(task_id, Status.RUNNING, values, Task.expires_at > now):
        return task
    late = {"reason": Reason.EXPIRED, "error": EXPIRED, "completed_at": now}
    _move(task_id, Status.FAILED, late, (Task.status == Status.PENDING) & (Task.expires_at <= now))
    return None


def finish(task: Task, status: Status, now: datetime, **values: Any) -> Task | None:
    """End the attempt that *task* shows; None when it no longer runs under that owner.

    *values* may hold reason, error and output_data."""
    mine = (Task.owner == task.owner) & (Task.attempt == task.attempt)
    return _move(task.id, status, {"completed_at": now, "owner": None, **values}, mine)


def interrupt_running(now: datetime) -> list[Task]:
    """End every running task as interrupted; for a worker that starts and finds them without owner."""
    found = Task.select().where(Task.status == Status.RUNNING)
    values = {"completed_at": now, "owner": None, "reason": Reason.INTERRUPTED, "error": INTERRUPTED}
    ended = [_move(task.id, Status.FAILED, values, Task.status == Status.RUNNING) for task in found]
    return [task for task in ended if task is not None]


def renew(task: Task, now: datetime, ttl: float) -> Task | None:
    """Make attempt n+1 of an ended task and keep attempt n. None when it may not run again now."""
    with database.atomic():
        values = {
            "attempt": task.attempt + 1, "expires_at": now + timedelta(seconds=ttl),
            "reason": None, "error": None, "output_data": None, "started_at": None, "completed_at": None,
        }  # fmt: skip
        renewed = _move(task.id, Status.PENDING, values, Task.attempt == task.attempt)
        if renewed is not None:
            kept = {name: getattr(task, name) for name in _KEPT}
            Attempt.create(task_id=task.id, **kept)
    return renewed


_KEPT = ("attempt", "status", "reason", "error", "output_data", "started_at", "completed_at")


def keep_event(**values: Any) -> None:
    """Keep a webhook that is no command; the same delivery again changes nothing."""
    Event.insert(**values).on_conflict_ignore().execute()


def mark_reported(task_id: str, rev: int) -> None:
    """The relay has the news up to *rev*; newer news stays unreported."""
    Task.update(reported_rev=rev).where((Task.id == task_id) & (Task.reported_rev < rev)).execute()


def _move(task_id: str, target: Status, values: dict[str, Any], when: Any) -> Task | None:  # Any: as above
    legal = (Task.id == task_id) & Task.status.in_(sources(target)) & when
    update = Task.update(status=target, rev=next_rev(), **values).where(legal)
    return _only(update)


def _only(change: Any) -> Task | None:  # Any: as above
    # All rows are fetched: SQLite commits a statement with RETURNING when it has been read to its end.
    rows = list(change.returning(Task).execute())
    return rows[0] if rows else None
