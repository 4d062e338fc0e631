"""The records' file: columns, durability, versions."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from relay.protocol import Status
from tests.chain import ROOT
from tests.worker.conftest import NOW
from worker import models, moves, schema
from worker.models import CannotOpen, Task

Add = Callable[..., Task]


def test_the_documented_columns_are_there_by_name(records: Path, add: Add) -> None:
    add("e2e_test")
    outside = sqlite3.connect(records)
    outside.row_factory = sqlite3.Row
    row = outside.execute("SELECT * FROM tasks WHERE id='e2e_test'").fetchone()
    outside.close()
    assert set(row.keys()) >= {
        "id", "action_type", "status", "input_data", "output_data", "error", "created_at", "started_at",
        "completed_at",
    }  # fmt: skip
    assert (row["status"], row["created_at"]) == ("pending", "2026-03-01 12:00:00.000000")


def test_every_commit_is_synced_and_only_the_owner_may_read(records: Path, add: Add) -> None:
    assert models.database.pragma("journal_mode") == "wal"
    assert models.database.pragma("synchronous") == 2, "FULL"
    add("t")
    for path in records.parent.glob("tasks.db*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_unreported_news_are_found_by_the_partial_index(records: Path, add: Add) -> None:
    add("t")
    plan = str(models.database.execute_sql(f"EXPLAIN QUERY PLAN {models.UNREPORTED}", (None, 5)).fetchall())
    assert "tasks_unreported" in plan
    assert "TEMP B-TREE" not in plan


def test_a_file_of_a_newer_version_is_refused_and_left_alone(records: Path) -> None:
    models.database.pragma("user_version", schema.SCHEMA_VERSION + 1)
    models.database.close()
    with pytest.raises(CannotOpen, match="update"):
        schema.open_database(records)


@pytest.mark.parametrize("what", ["letter", "folder", "nowhere"])
def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path: Path, what: str) -> None:
    path = tmp_path / what
    if what == "letter":
        path.write_text("a letter and no database, long enough to look like one " * 50)
    elif what == "folder":
        path.mkdir()
    else:
        path = path / "tasks.db"
    with pytest.raises(CannotOpen, match=what):
        schema.open_database(path)
    models.database.close()


def test_opening_again_changes_nothing(records: Path, add: Add) -> None:
    add("t")
    models.database.close()
    schema.open_database(records)
    assert models.get("t") is not None
    assert models.get("u") is None


OPEN = """
import sys, time
from pathlib import Path
from worker import schema
from worker.tasks import Queue
folder, at = Path(sys.argv[1]), float(sys.argv[2])
while time.time() < at: pass
schema.open_database(folder / "tasks.db")
Queue(folder / "queue.db").ring("x")
"""


def test_processes_that_start_at_the_same_moment_on_a_fresh_machine_all_open_it(tmp_path: Path) -> None:
    failures = []
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        at = str(time.time() + 0.7)
        started = [
            subprocess.Popen(
                [sys.executable, "-c", OPEN, str(folder), at], cwd=ROOT, stderr=subprocess.PIPE, text=True
            )
            for _ in range(4)
        ]
        failures += [said for one in started if (said := one.communicate(timeout=30)[1])]
    assert failures == []


def test_times_are_utc_whatever_zone_they_came_in(records: Path, add: Add) -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    at = datetime(2026, 3, 1, 17, 30, tzinfo=there)
    add("t", expires_at=at)
    task = models.get("t")
    assert task is not None
    assert task.expires_at == at
    assert task.expires_at.tzinfo is UTC
    assert (task.started_at, task.completed_at) == (None, None)


def test_output_files_are_named_by_numbers_only(records: Path, add: Add) -> None:
    first, second = add("..evil/../name".replace("/", ":")), add("b")
    assert models.output_path(first).parent == records.with_suffix(".output")
    assert [models.output_path(one).name for one in (first, second)] == ["1-1.log", "2-1.log"]
    assert models.output_path(first, 3).name == "1-3.log"


def test_latest_rev_is_zero_without_tasks_and_the_newest_change_otherwise(records: Path, add: Add) -> None:
    assert models.latest_rev() == 0
    task = add("t")
    assert models.latest_rev() == task.rev == 1
    moves.claim("t", "me", NOW)
    assert models.latest_rev() == 2


def test_tasks_are_found_by_status_oldest_first(records: Path, add: Add) -> None:
    for task_id in ("b", "a", "c"):
        add(task_id)
    moves.claim("a", "me", NOW)
    assert [one.id for one in models.with_status(Status.PENDING)] == ["b", "c"]
    assert [one.id for one in models.with_status(Status.PENDING, Status.RUNNING)] == ["b", "a", "c"]


VERSION_1 = """
CREATE TABLE tasks (id TEXT NOT NULL, action_type TEXT NOT NULL, status TEXT NOT NULL,
  input_data TEXT NOT NULL, output_data TEXT, error TEXT, created_at TEXT NOT NULL,
  started_at TEXT, completed_at TEXT,
  seq INTEGER NOT NULL PRIMARY KEY, reason TEXT, title TEXT, preview TEXT NOT NULL, caller TEXT NOT NULL,
  digest TEXT NOT NULL, attempt INTEGER NOT NULL, expires_at TEXT NOT NULL, owner TEXT, stop_attempt INTEGER,
  rev INTEGER NOT NULL, reported_rev INTEGER NOT NULL);
CREATE UNIQUE INDEX task_id ON tasks (id);
CREATE INDEX task_rev ON tasks (rev);
CREATE INDEX task_status_seq ON tasks (status, seq);
CREATE INDEX tasks_unreported ON tasks (rev) WHERE reported_rev < rev;
CREATE TABLE attempts (id INTEGER NOT NULL PRIMARY KEY, task_id TEXT NOT NULL, attempt INTEGER NOT NULL,
  status TEXT NOT NULL, reason TEXT, error TEXT, output_data TEXT, started_at TEXT, completed_at TEXT);
CREATE TABLE events (id INTEGER NOT NULL PRIMARY KEY, delivery_id TEXT NOT NULL UNIQUE, event TEXT NOT NULL,
  caller TEXT NOT NULL, payload TEXT NOT NULL, received_at TEXT NOT NULL);
CREATE TABLE boots (id TEXT NOT NULL PRIMARY KEY, origin REAL NOT NULL);
INSERT INTO tasks VALUES ('kept', 'git', 'pending', '{"command": "git status"}', NULL, NULL,
  '2026-02-01 10:00:00.000000', NULL, NULL, 7, NULL, 'Old', 'git status', 'phone', 'd', 1,
  '2026-03-01 13:00:00.000000', NULL, NULL, 3, 0);
PRAGMA user_version = 1;
"""


def test_a_file_of_the_first_version_is_brought_up_to_date_and_keeps_everything(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    outside = sqlite3.connect(path)
    outside.executescript(VERSION_1)
    outside.close()
    schema.open_database(path)
    try:
        assert models.database.pragma("user_version") == schema.SCHEMA_VERSION
        task = models.get("kept")
        assert task is not None
        assert (task.seq, task.title, task.rev, task.lane, task.approved) == (7, "Old", 3, None, None)
        assert task.said_at == task.created_at == datetime(2026, 2, 1, 10, tzinfo=UTC)
        assert moves.claim("kept", "me", NOW) is not None
        fresh = tmp_path / "fresh" / "tasks.db"
        fresh.parent.mkdir()
        migrated = _described(path)
    finally:
        models.database.close()
    schema.open_database(fresh)
    models.database.close()
    assert migrated == _described(fresh)


def _described(path: Path) -> tuple[set[str], set[str]]:
    """The columns of tasks, and the names of all indexes that somebody gave."""
    outside = sqlite3.connect(path)
    columns = {row[1] for row in outside.execute("PRAGMA table_info(tasks)")}
    names = "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'task%'"
    indexes = {row[0] for row in outside.execute(names)}
    outside.close()
    return columns, indexes
