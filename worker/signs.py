"""Signs of life, beside the records: who runs on this machine, and whether the relay can be reached.

A lock on a file tells it, because the system takes it away with the process that holds it; a
written-down "I am here" would outlive its writer.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from worker import models

LOOKED_AT_S = 0.3


class AlreadyRunning(models.CannotOpen):
    """Another process holds the lock that only one may hold."""


@dataclass(frozen=True)
class Link:
    """What the listener last said about its session with the relay."""

    machine: str
    version: str
    is_open: bool
    since: datetime


@dataclass(frozen=True)
class Signs:
    """Who is there."""

    worker_runs: bool
    listener_runs: bool
    link: Link | None
    """None when no listener has ever run on these records."""


class LinkFile:
    """Where the listener says how it stands with the relay, and proves by a lock that it runs."""

    def __init__(self) -> None:
        self._file: int | None = None

    def write(self, link: Link) -> None:
        """Say *link* from now on, for as long as this process lives. Raises OSError, or AlreadyRunning:
        two listeners would take the session with the relay from each other."""
        if self._file is None:
            self._file = hold(_beside(".link"), "listener")
        text = json.dumps({**link.__dict__, "since": link.since.isoformat()})
        # Padded instead of cut, so that a reader at this very moment finds a whole text.
        os.pwrite(self._file, text.encode().ljust(512), 0)


def read() -> Signs:
    """Who is there now. Cheap: two small files."""
    path = _beside(".link")
    return Signs(is_locked(_beside(".lock")), is_locked(path), _link(path))


def _link(path: Path) -> Link | None:
    try:
        found = json.loads(path.read_bytes())
        return Link(**{**found, "since": datetime.fromisoformat(found["since"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _beside(suffix: str) -> Path:
    return Path(models.database.database).with_suffix(suffix)


def hold(path: Path, who: str) -> int:
    """Hold the lock on *path* until this process ends, as the only *who*. Raises AlreadyRunning."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + LOOKED_AT_S
    while not locks(lock, fcntl.LOCK_EX):
        # Somebody who asks `is_locked` holds it as well, for an instant.
        if time.monotonic() > deadline:
            os.close(lock)
            raise AlreadyRunning(
                f"Another {who} is running on these records ({path} is locked); stop that one first"
            )
        time.sleep(0.01)
    return lock


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock on *path*."""
    try:
        lock = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not locks(lock, fcntl.LOCK_SH)
    finally:
        os.close(lock)


def locks(lock: int, kind: int) -> bool:
    """Whether the open file *lock* could be locked at once."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
