"""The limit: the same work with nothing of ours around it. Start `git status` with the argument list
and environment that the action makes, read what it prints, and record it in one row: plain sqlite3,
WAL, synchronous FULL, an insert before and an update after."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from worker.actions.base import Job
from worker.actions.git import Git
from worker.environment import environment

STATUS = {"command": ["git", "status"], "project": "ai-webhook"}


class Limit:
    """`git status` in *project*, recorded in a database of its own in *folder*."""

    def __init__(self, project: Path, folder: Path) -> None:
        self._project = project
        self._argv, self._environment = _as_our_action_runs_it(project, folder)
        self._path = folder / "limit.db"
        self._local = threading.local()
        self._writing = threading.Lock()
        self._database.execute(
            "CREATE TABLE tasks (id INTEGER PRIMARY KEY, status TEXT, input TEXT, output TEXT)"
        )

    @property
    def _database(self) -> sqlite3.Connection:
        """This thread's connection."""
        if not hasattr(self._local, "connection"):
            self._local.connection = sqlite3.connect(self._path, isolation_level=None, timeout=10)
            self._local.connection.execute("PRAGMA journal_mode = wal")
            self._local.connection.execute("PRAGMA synchronous = full")
        return self._local.connection

    def once_ms(self) -> float:
        """Milliseconds for one."""
        begun = time.perf_counter()
        self._once()
        return (time.perf_counter() - begun) * 1_000

    def per_second(self, count: int, threads: int) -> float:
        """How many a second, *count* of them on *threads*."""
        with ThreadPoolExecutor(threads) as pool:
            begun = time.perf_counter()
            list(pool.map(lambda _: self._once(), range(count)))
            return count / (time.perf_counter() - begun)

    def _once(self) -> None:
        row = self._write("INSERT INTO tasks (status, input) VALUES ('running', ?)", str(self._argv))
        # As our own module does it; asking for less (one pipe, no session) would be other work.
        with subprocess.Popen(
            self._argv, cwd=self._project, env=self._environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        ) as child:  # fmt: skip
            printed, said = child.communicate()
        assert child.returncode == 0, said
        self._write("UPDATE tasks SET status = 'completed', output = ? WHERE id = ?", printed, row)

    def _write(self, text: str, *values: object) -> int:
        # A lock wakes the next thread at once; SQLite would let it sleep and look again.
        with self._writing:
            return int(self._database.execute(text, values).lastrowid or 0)


def _as_our_action_runs_it(project: Path, folder: Path) -> tuple[Sequence[str], Mapping[str, str]]:
    """What the git action starts for `git status`, found out by letting it do so."""
    seen: list[tuple[Sequence[str], Mapping[str, str]]] = []

    class Watched(Job):
        def run(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, **more: Any) -> Any:
            seen.append((list(argv), environment(env)))
            return super().run(argv, env=env, **more)

    job = Watched(root=project, directory=project, log=folder / "limit.log", marker="bench", stop=bool)
    outcome = Git(**STATUS).run(job)
    assert outcome.output_data["returncode"] == 0, outcome
    return seen[-1]
