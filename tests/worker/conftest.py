"""The machine's own things, real and in a folder of their own: records, queue, policy, repositories."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.protocol import Command
from tests.chain import git
from tests.door import ask
from worker import marks, models, moves, process, schema
from worker.inbox import Inbox
from worker.policy import Policy
from worker.policy_file import PolicyFile
from worker.tasks import Queue

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Empty records and a repository, made once and copied for each test."""
    folder = tmp_path_factory.mktemp("templates")
    schema.open_database(folder / "tasks.db")
    models.database.close()
    project = folder / "project"
    (project / "docs").mkdir(parents=True)
    git(project, "init", "-q", "-b", "main")
    (project / "note.txt").write_text("one\n")
    (project / "docs" / "read.txt").write_text("read\n")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "Begin with a note")
    return folder


@pytest.fixture
def records(tmp_path: Path, templates: Path) -> Iterator[Path]:
    """Fresh records, open in this process."""
    path = tmp_path / "tasks.db"
    shutil.copy(templates / "tasks.db", path)
    schema.open_database(path)
    yield path
    models.database.close()


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    one = Queue(tmp_path / "queue.db")
    yield one
    one._huey.storage.close()


@pytest.fixture
def project(tmp_path: Path, templates: Path) -> Path:
    """A git repository with one commit, nothing changed."""
    return Path(shutil.copytree(templates / "project", tmp_path / "project", symlinks=True))


@pytest.fixture
def policy_path(tmp_path: Path, project: Path) -> Path:
    """Everything that is built is allowed in the project."""
    path = tmp_path / "policy.toml"
    path.write_text(
        f'version = 1\n[projects.garden]\npath = "{project}"\naliases = ["My Garden"]\n'
        'git = "write"\nshell = "full"\nclaude = ["review"]\n'
    )
    return path


@pytest.fixture
def rules(policy_path: Path) -> Policy:
    return PolicyFile(policy_path).current()


@pytest.fixture
def inbox(records: Path, queue: Queue, policy_path: Path) -> Inbox:
    return Inbox(queue, PolicyFile(policy_path), lambda: NOW)


@pytest.fixture
def accept(inbox: Inbox) -> Callable[..., models.Task]:
    """Accept a command; `accept("t1", "shell", command="true")`."""

    def _accept(
        task_id: str, action_type: str = "shell", *, expires_in: float = 600, **params: Any
    ) -> models.Task:
        params = params or {"command": "true"}
        command = Command(task_id=task_id, action_type=action_type, params=params, ttl=max(1, expires_in))
        return ask(inbox, command, expires_in=expires_in)

    return _accept


@pytest.fixture
def add(records: Path) -> Callable[..., models.Task]:
    """Add a row without any check."""

    def _add(task_id: str, **values: Any) -> models.Task:
        own = {
            "action_type": "shell", "input_data": '{"command": "true"}', "preview": "true", "caller": "phone",
            "digest": "d", "said_at": NOW, "expires_at": NOW + timedelta(hours=1),
        }  # fmt: skip
        task = moves.insert(NOW, id=task_id, **{**own, **values})
        assert task is not None
        return task

    return _add


@pytest.fixture
def leftovers() -> Iterator[Callable[[str], list[int]]]:
    """The processes that still carry a marker; none may be left when the test ends."""
    asked: set[str] = set()

    def _leftovers(marker: str) -> list[int]:
        asked.add(marker)
        return marks.marked(marker)

    yield _leftovers
    for marker in asked:
        marks.sweep(marker)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody reaps orphans at once (containers), every program that left some behind takes the
    whole grace time to end."""
    monkeypatch.setattr(process, "GRACE_S", 0.3)
    monkeypatch.setattr(process, "DRAIN_S", 0.3)


@pytest.fixture(autouse=True)
def _plain_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """git as somebody without a configuration of their own, also inside actions."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
