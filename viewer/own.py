"""The viewer's own file beside the records: what has been looked at, and an index to search in.

The records belong to the worker, and every index there makes its commits slower. This file may be
deleted at any time: the index is made anew, and everything before counts as looked at.
"""

from __future__ import annotations

import glob
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
        # Before SQLite opens it: what it puts beside the file gets the mode that the file has then.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        for one in (path, *path.parent.glob(f"{glob.escape(path.name)}-*")):
            one.chmod(0o600)
        self.connection.executescript(_TABLES)

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
