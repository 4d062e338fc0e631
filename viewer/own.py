"""The viewer's own file beside the records: what has been looked at, and an index to search in.

The records belong to the worker, and every index there makes its commits slower. This file may be
deleted at any time: the index is made anew, and everything before counts as looked at.
"""

from __future__ import annotations

import glob
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

_TABLES = """
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS seen (
    number INTEGER PRIMARY KEY, task_id TEXT NOT NULL, attempt INTEGER NOT NULL, ended_at TEXT NOT NULL,
    after_s REAL NOT NULL, through TEXT NOT NULL, UNIQUE (task_id, attempt)
);
CREATE INDEX IF NOT EXISTS seen_ended ON seen (ended_at);
CREATE VIRTUAL TABLE IF NOT EXISTS found USING fts5(
    title, command, said, facts, prefix = '2 3', tokenize = "unicode61 remove_diacritics 2"
);
"""


class OwnFile:
    """The file at *path*; each thread has a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._writing = threading.Lock()
        try:
            self._open()
        except sqlite3.DatabaseError as problem:
            # A lock, or a full disk, is no damage: what is in the file may be good.
            if isinstance(problem, sqlite3.OperationalError):
                raise
            log.warning("%s was damaged (%s) and is made anew; nothing but its own is lost.", path, problem)
            self._delete()
            self._open()

    def _open(self) -> None:
        # Before SQLite opens it: what it puts beside the file gets the mode that the file has then.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        for one in (self._path, *self._beside()):
            one.chmod(0o600)
        self.connection.executescript(_TABLES)
        # All of it is read, once: 0.3 s for 100,000 tasks. Or each search would meet the damage anew.
        [(found,)] = self.connection.execute("PRAGMA quick_check(1)").fetchall()
        if found != "ok":
            raise sqlite3.DatabaseError(found)

    def _delete(self) -> None:
        self.connection.close()
        del self._local.connection
        for one in (self._path, *self._beside()):
            one.unlink()

    def _beside(self) -> list[Path]:
        """What SQLite puts beside the file."""
        return list(self._path.parent.glob(f"{glob.escape(self._path.name)}-*"))

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection, to read with."""
        if not hasattr(self._local, "connection"):
            self._local.connection = sqlite3.connect(self._path, isolation_level=None, timeout=5)
            self._local.connection.execute("PRAGMA journal_mode = wal")
            # Nothing here is promised to anybody; a power cut may take the last second of it.
            self._local.connection.execute("PRAGMA synchronous = normal")
        connection: sqlite3.Connection = self._local.connection
        return connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it or nothing. One thread at a time."""
        with self._writing, self.connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    def mark(self, name: str, default: str) -> str:
        """The value remembered under *name*; when there is none, *default*, from now on."""
        with self.writing() as connection:
            connection.execute("INSERT OR IGNORE INTO marks VALUES (?, ?)", (name, default))
            found = connection.execute("SELECT value FROM marks WHERE name = ?", (name,)).fetchone()
        return str(found[0])
