"""When a commit waits for the disk. Ordinarily it does; here is how to wait later, for many at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from worker.models import database


@contextmanager
def unsynced() -> Iterator[None]:
    """Commits in the block do not wait for the disk. A crash of ours undoes none of them; a power cut may,
    until `sync`, or until the next ordinary commit of any process, which takes them along. Inside a
    transaction nothing changes: its own commit decides."""
    if database.in_transaction():
        yield
        return
    database.execute_sql("PRAGMA synchronous = NORMAL")  # type: ignore[no-untyped-call]  # peewee's stubs lack it
    try:
        yield
    finally:
        database.execute_sql("PRAGMA synchronous = FULL")  # type: ignore[no-untyped-call]  # as above


def sync() -> None:
    """Wait until everything that was committed so far is on disk. Raises OSError."""
    # SQLite keeps no lock on this file, so closing it gives none away.
    journal = os.open(f"{database.database}-wal", os.O_RDWR)
    try:
        _sync_file(journal)
    finally:
        os.close(journal)


_sync_file = getattr(os, "fdatasync", os.fsync)  # macOS has the second only; SQLite does the same
