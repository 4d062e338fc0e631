"""Full-text search over title, command and what was said, in the viewer's own file.

The index follows the records by `rev`: before each search, and all the time in the background. The
worker pays nothing for it.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import threading
from collections.abc import Callable, Collection

from relay import terminal
from relay.protocol import Status
from viewer import records
from viewer.filters import Filter
from viewer.own import OwnFile
from worker import models

log = logging.getLogger(__name__)

_AT_ONCE = 400
"""So many changed tasks are read before a search is answered; more are left to the background."""
_LOOK_S = 2.0
_PAUSE_S = 0.02
"""Between two steps in the background, so that pages are answered meanwhile."""
_TIDY_EVERY = 900
_MOST_WORDS = 8
_WORD = re.compile(r"[\w@./-]*\w[\w@./-]*")


class Index:
    """Finds tasks by words."""

    def __init__(self, own: OwnFile) -> None:
        self._own = own
        self._following = threading.Lock()

    def find(self, wanted: Filter, statuses: Collection[Status], limit: int) -> list[int]:
        """The `seq` of the newest tasks that match *wanted* and are in one of *statuses*.

        Each word is the begin of a word in the task; nothing in it is an operator."""
        words = _WORD.findall(wanted.words)[:_MOST_WORDS]
        if not words:
            return []
        self.follow()
        each = " AND ".join(f'"{word}"*' for word in words)
        query = f"{{title command said}} : ({each})"
        if len(statuses) < len(Status):
            query += f" AND facts : ({' OR '.join(_status_word(status) for status in statuses)})"
        if wanted.action:
            query += f" AND facts : {_action_word(wanted.action)}"
        found = self._own.connection.execute(
            "SELECT rowid FROM found WHERE found MATCH ? AND rowid < ? ORDER BY rowid DESC LIMIT ?",
            (query, wanted.before if wanted.before is not None else 2**62, limit),
        )
        return [row[0] for row in found.fetchall()]

    def follow(self, most: int = _AT_ONCE) -> bool:
        """Take in up to *most* tasks that have changed; whether nothing is left to take in."""
        with self._following:
            start = self._reached()
            changed = records.changed_after(start, most)
            if not changed:
                return True
            with self._own.writing() as connection:
                for row in changed:
                    connection.execute("INSERT OR REPLACE INTO found (rowid, title, command, said, facts) "
                                       "VALUES (?, ?, ?, ?, ?)", _entry(row))  # fmt: skip
                _mark(connection, "rev", changed[-1].rev)
        return len(changed) < most

    @property
    def is_behind(self) -> bool:
        """Whether a search misses tasks that have not been taken in yet."""
        return self._reached() < models.latest_rev()

    def tidy(self) -> None:
        """Drop what the records do not have any more, and begin anew when they have what is missing
        here: numbers of changes come again when the newest task was forgotten."""
        have = records.all_seqs()
        with self._following, self._own.writing() as connection:
            known = {row[0] for row in connection.execute("SELECT rowid FROM found")}
            connection.executemany("DELETE FROM found WHERE rowid = ?", [(seq,) for seq in known - have])
            if have - known:
                _mark(connection, "rev", 0)

    def start(self, tidy_too: Callable[[], None]) -> None:
        """Follow in the background, for as long as this process lives. Now and then it tidies up, and calls
        *tidy_too*."""
        threading.Thread(target=self._follow_for_ever, args=(tidy_too,), name="search", daemon=True).start()

    def _follow_for_ever(self, tidy_too: Callable[[], None]) -> None:
        pause, rounds = threading.Event(), 0
        while True:
            try:
                is_done = self.follow(100)
                rounds += is_done
                if is_done and rounds % _TIDY_EVERY == 1:
                    self.tidy()
                    tidy_too()
            except models.STORE_ERRORS as problem:
                # Somebody writes for long, or the disk is full; the next round reads the same rows.
                log.warning("The search index cannot be kept up now (%s).", problem)
                is_done = True
            pause.wait(_LOOK_S if is_done else _PAUSE_S)

    def _reached(self) -> int:
        """The `rev` up to which tasks are in the index; from the start when these are other records."""
        connection = self._own.connection
        marks = dict(connection.execute("SELECT name, value FROM marks").fetchall())
        reached, origin = int(marks.get("rev", 0)), records.origin()
        if marks.get("origin") == origin and reached <= models.latest_rev():
            return reached
        with self._own.writing() as writing:
            writing.execute("DELETE FROM found")
            _mark(writing, "rev", 0)
            _mark(writing, "origin", origin)
        return 0


def _mark(connection: sqlite3.Connection, name: str, value: object) -> None:
    connection.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (name, str(value)))


def _entry(row: records.Changed) -> tuple[int, str, str, str, str]:
    said = " ".join(
        terminal.strip(part) for part in (row.error, row.headline, row.answer, row.printed) if part
    )
    facts = f"{_status_word(row.status)} {_action_word(row.action_type)}"
    return row.seq, row.title or "", row.preview, said, facts


def _status_word(status: str) -> str:
    return f"s{status.encode().hex()}"


def _action_word(action: str) -> str:
    # As letters and digits only, so that it is one word of the index and no operator.
    return f"a{action.encode().hex()}"
