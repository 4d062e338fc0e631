"""What a worker does before it works: be the only one, clean up, and ring for what waits."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from relay.protocol import Status
from worker import models, moves, process
from worker.tasks import Queue

log = logging.getLogger(__name__)

FORGOTTEN = timedelta(seconds=5)
"""A task that has waited so long with an empty queue has lost its ring."""


class AlreadyRunning(Exception):
    """Another worker holds the lock on these records."""


def hold_lock(path: Path) -> int:
    """Be the only worker on these records until this process ends. Raises AlreadyRunning."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise AlreadyRunning(f"Another worker is running on these records ({path} is locked)") from None
    return lock


def is_locked(path: Path) -> bool:
    """Whether a worker is running on these records."""
    if not path.exists():
        return False
    try:
        os.close(hold_lock(path))
    except AlreadyRunning:
        return True
    return False


def marker_of(path: Path) -> str:
    """The beginning of the marker of every program that a worker on these records starts."""
    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]


def recover(queue: Queue, marker: str, now: datetime) -> None:
    """Settle what an earlier worker left: its programs end, its running tasks are interrupted,
    and everything that waits is rung for again. Call it with the lock held, before working."""
    if leftovers := process.sweep(marker):
        log.warning("%d process(es) of an earlier worker were still running and were ended.", leftovers)
    for task in moves.interrupt_running(now):
        log.warning("Task %s was interrupted: an earlier worker stopped while it ran.", task.id)
    # First forget, then look: a task that arrives in between rings for itself.
    queue.clear()
    for task in models.with_status(Status.PENDING):
        queue.ring(task.id)


def ring_forgotten(queue: Queue, now: Callable[[], datetime]) -> None:
    """Ring again for tasks whose ring was lost between a row's commit and its message."""
    if not queue.is_empty():
        return
    for task in models.with_status(Status.PENDING):
        if task.created_at < now() - FORGOTTEN:
            queue.ring(task.id)
