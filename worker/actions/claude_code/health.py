"""Whether Claude Code can be used on this machine: is it there, is it new enough, is it logged in."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.actions.base import Job
from worker.actions.claude_code import cli
from worker.actions.claude_code.outcome import NOT_LOGGED_IN
from worker.policy import Rejected
from worker.process import CannotStart

PATIENCE_S = 20.0


@dataclass(frozen=True)
class Health:
    """What was found."""

    program: Path | None
    """Where it is; None when it cannot be used, and then `problem` says why."""
    version: str | None
    """Like `2.1.331`; None when it cannot be used."""
    is_logged_in: bool | None
    """None when it did not say. Whether the API takes that login only a run can tell."""
    problem: str | None
    """A sentence with the way out; None when all is well."""


def probe(marker: str) -> Health:
    """Look for it as a task would, with this process's environment. It takes half a second and needs no
    network; what it starts carries *marker*. Never raises."""
    job = Job(Path("/"), Path("/"), Path(os.devnull), marker, lambda: False)
    try:
        program = cli.Claude().probe(job)
        version = cli.version_of(job, program)
        is_logged_in = _ask_login(job, program)
    except (Rejected, CannotStart, OSError) as refusal:
        return Health(None, None, None, str(refusal))
    return Health(program, version, is_logged_in, NOT_LOGGED_IN if is_logged_in is False else None)


def _ask_login(job: Job, program: Path) -> bool | None:
    # Its exit status says the same, and would say it for a fault of its own, too.
    env = cli.environment(os.environ, is_trusted=False)
    done = job.run([str(program), "auth", "status"], timeout=PATIENCE_S, env=env)
    with suppress(ValueError):
        said: Any = json.loads(done.stdout)  # Any: JSON
        if isinstance(said, dict) and isinstance(said.get("loggedIn"), bool):
            return bool(said["loggedIn"])
    return None
