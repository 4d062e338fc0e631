"""What a worker does before it works: be the only one, clean up, and ring for what waits."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from relay.protocol import Status
from worker import actions, fetches, lanes, marks, models, moves
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


def ring_forgotten(queue: Queue, now: Callable[[], datetime]) -> None:
    """Ring again for tasks whose ring was lost between a row's commit and its message."""
    if not queue.is_empty():
        return
    for task in lanes.could_start(now() - FORGOTTEN, RING_BATCH):
        queue.ring(task.id)


def forget(before: datetime) -> None:
    """Delete what ended, and what came, before *before*, in small batches: nobody waits for a long one."""
    more = True
    while more:
        paths, more = moves.forget(before, FORGET_BATCH)
        for path in paths:
            path.unlink(missing_ok=True)
    fetches.forget(before)
