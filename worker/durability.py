"""One wait for the disk, at the end of what need not wait in between."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from worker.models import database


@contextmanager
def synced_at_the_end() -> Iterator[None]:
    """Commits in the block do not wait for the disk, leaving it does, for all of them. Raises OSError then.

    A crash of ours undoes no commit. A power cut may undo these, until the end of the block or the next
    ordinary commit of any process, which takes them along."""
    database.pragma("synchronous", "NORMAL")
    try:
        # Opened before anything is written: who comes later is not told that writing failed. Where the
        # records are behind a link, SQLite keeps this beside them. It holds no lock there that closing
        # would give away.
        journal = os.open(f"{os.path.realpath(database.database)}-wal", os.O_RDWR)
        try:
            yield
            _sync_file(journal)
        finally:
            os.close(journal)
    finally:
        database.pragma("synchronous", "FULL")


_sync_file = getattr(os, "fdatasync", os.fsync)  # macOS has the second only; SQLite does the same
