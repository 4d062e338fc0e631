"""What a worker does before it works: be the only one, clean up, and ring for what waits."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from relay.protocol import Status
from worker import actions, fetches, lanes, marks, models, moves
from worker.models import Attempt, Event, Task
from worker.questions import Question
from worker.signs import AlreadyRunning, hold, is_locked
from worker.tasks import Queue

__all__ = [
    "AlreadyRunning",
    "forget",
    "hold_lock",
    "is_locked",
    "new_marker",
    "recover",
    "ring_forgotten",
]

log = logging.getLogger(__name__)

FORGOTTEN = timedelta(seconds=5)
"""A task that has waited so long with an empty queue has lost its ring."""


FORGET_BATCH = 200
RING_BATCH = 100


def hold_lock(path: Path) -> int:
    """Be the only worker on these records until this process ends. Raises AlreadyRunning."""
    return hold(path, "worker")


def new_marker(path: Path) -> str:
    """The marker of one life of a worker: its guardian must not take the next one's programs for its own."""
    return f"{marks.marker_of(path)}.{os.urandom(4).hex()}"


def recover(queue: Queue, marker: str, now: datetime) -> None:
    """Settle what earlier workers left: their programs, found by *marker*, end, running tasks are
    interrupted, and everything that waits is rung for again. Call it with the lock held, before working."""
    if leftovers := marks.sweep(marker):
        log.warning("%d process(es) of an earlier worker were still running and were ended.", leftovers)
    for task in moves.interrupt_running(now):
        log.warning("Task %s was interrupted: an earlier worker stopped while it ran.", task.id)
    # First forget, then look: a task that arrives in between rings for itself.
    queue.clear()
    for task in models.with_status(Status.PENDING):
        queue.ring(task.id)


def clear_up(marker: str) -> None:
    """Let every action settle what it left behind in earlier workers; its programs carry *marker*."""
    for action in actions.catalogue().values():
        action.recover(models.output_dir(), marker)


def ring_forgotten(queue: Queue, steady: Callable[[], datetime]) -> None:
    """Ring again for tasks whose ring was lost between a row's commit and its message."""
    if not queue.is_empty():
        return
    for task in lanes.could_start(steady() - FORGOTTEN, RING_BATCH):
        queue.ring(task.id)


def forget(before: datetime) -> None:
    """Delete what ended, and what came, before *before*, in small batches: nobody waits for a long one."""
    while _forget_some(before, FORGET_BATCH):
        pass
    fetches.forget(before)


def _forget_some(before: datetime, limit: int) -> bool:
    """Delete up to *limit* tasks that ended before *before*, with their attempts and what they printed,
    and as many events. Returns whether there may be more to delete."""
    # What the relay does not know must not be forgotten.
    is_old = (Task.completed_at < before) & (Task.reported_rev >= Task.rev)
    # All in one: a task that is run again meanwhile is not old any more.
    with moves.together():
        old = list(Task.select().where(is_old).limit(limit))
        for path in (models.output_path(one, number) for one in old for number in range(1, one.attempt + 1)):
            # First: once its row is gone, a new task may get the number that names the file.
            with suppress(OSError):
                path.unlink()
        ids = [task.id for task in old]
        events = [one.id for one in Event.select(Event.id).where(Event.received_at < before).limit(limit)]
        Task.delete().where(Task.id.in_(ids)).execute()
        Attempt.delete().where(Attempt.task_id.in_(ids)).execute()
        Question.delete().where(Question.task_id.in_(ids)).execute()
        Event.delete().where(Event.id.in_(events)).execute()
    return bool(ids or events)
