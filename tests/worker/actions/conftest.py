"""Actions run in the real project, as the runner would run them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worker import actions
from worker.actions.base import Job, Outcome
from worker.policy import Rejected
from worker.process import CannotStart


@pytest.fixture
def do(project: Path, tmp_path: Path) -> Callable[..., Outcome]:
    """Run an action in the project; `do("git", command="git status")`. A refusal is its sentence."""

    def _do(action_type: str, *, directory: Path | None = None, **params: Any) -> Outcome | str:
        job = Job(
            root=project, directory=directory or project, log=tmp_path / "log",
            marker=f"actions-{os.getpid()}",
            stop=lambda: False,
        )  # fmt: skip
        try:
            return actions.parse(action_type, params).run(job)
        except (Rejected, CannotStart) as refusal:
            return str(refusal)

    return _do
