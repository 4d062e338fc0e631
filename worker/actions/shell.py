"""`shell`: any command, where the project's policy says so."""

from __future__ import annotations

import shlex
from typing import Annotated, ClassVar

from pydantic import Field

from worker.actions.base import Action, Job, Outcome, outcome_of


class Shell(Action):
    """Run a command in a project: a string through `/bin/sh`, a list as it stands."""

    action_type: ClassVar[str] = "shell"

    command: (
        Annotated[str, Field(min_length=1, max_length=16_384)]
        | Annotated[list[str], Field(min_length=1, max_length=200)]
    )
    """A string runs under `/bin/sh -c`; a list is a program and its arguments, with no shell between."""

    @property
    def scope(self) -> str:
        return "shell.full"

    @property
    def preview(self) -> str:
        return self.command if isinstance(self.command, str) else shlex.join(self.command)

    def run(self, job: Job) -> Outcome:
        argv = ["/bin/sh", "-c", self.command] if isinstance(self.command, str) else self.command
        return outcome_of(job.run(argv, timeout=self.timeout), self.timeout)
