"""Actions run in the real project, as the runner would run them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.traps import Trap, make_trap
from worker import actions
from worker.actions.base import Job, Outcome
from worker.policy import Rejected
from worker.process import CannotStart


@pytest.fixture(scope="session")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Trap:
    """A repository full of traps, made once and copied for each test."""
    return make_trap(tmp_path_factory.mktemp("armed"))


@pytest.fixture
def trap(armed: Trap, tmp_path: Path) -> Trap:
    """A repository full of traps of its own; its programs and what they leave behind are shared."""
    armed.ran.unlink(missing_ok=True)
    return replace(armed, project=shutil.copytree(armed.project, tmp_path / "trap", symlinks=True))


@pytest.fixture
def do(project: Path, tmp_path: Path) -> Callable[..., Outcome]:
    """Run an action in the project; `do("git", command="git status")`. A refusal is its sentence."""

    def _do(
        action_type: str, *, root: Path | None = None, directory: Path | None = None,
        roots: tuple[Path, ...] = (), is_trusted: bool = False, **params: Any,
    ) -> Outcome | str:  # fmt: skip
        job = Job(
            root=root or project, directory=directory or root or project, log=tmp_path / "log",
            marker=f"actions-{os.getpid()}",
            stop=lambda: False, roots=roots, is_trusted=is_trusted,
        )  # fmt: skip
        try:
            return actions.parse(action_type, params).run(job)
        except (Rejected, CannotStart) as refusal:
            return str(refusal)

    return _do
