"""`shell`: any command, where the project's policy says so."""

from __future__ import annotations

import json
import shlex
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from worker.actions.base import Action, Job, Outcome, outcome_of
from worker.policy import Policy, Rejected


class Shell(Action):
    """Run a command in a project: one that `policy.toml` names, or any where the policy allows that."""

    action_type: ClassVar[str] = "shell"

    command: (
        Annotated[str, Field(min_length=1, max_length=16_384)]
        | Annotated[list[str], Field(min_length=1, max_length=200)]
        | None
    ) = None
    """A string runs under `/bin/sh -c`; a list is a program and its arguments, with no shell between."""
    name: str | None = Field(default=None, max_length=32)
    """Instead of `command`: one of the commands that `policy.toml` has written down."""
    values: dict[str, str] = Field(default_factory=dict, max_length=20)
    """What to put into the holes of the command called `name`."""

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        if (self.command is None) == (self.name is None) or (self.values and self.name is None):
            raise ValueError("either command or name is needed; values go with name")
        return self

    @property
    def scope(self) -> str:
        return "shell.full" if self.name is None else "shell.named"

    @property
    def preview(self) -> str:
        if self.command is None:
            return f"{self.name} {json.dumps(self.values)}" if self.values else str(self.name)
        return self.command if isinstance(self.command, str) else shlex.join(self.command)

    def bound(self, rules: Policy, project: str) -> Self:
        if self.name is None:
            return self
        known = rules.named(project)
        if self.name not in known:
            listed = (
                f"it knows {', '.join(sorted(known))}" if known else "[commands] in policy.toml names them"
            )
            raise Rejected(f"Project {project} knows no command {self.name!r}; {listed}")
        named = known[self.name]
        timeout = self.timeout
        if named.timeout_s is not None:
            # Its owner's limit; a caller may ask for less.
            given = "timeout" in self.model_fields_set
            timeout = min(timeout, named.timeout_s) if given else named.timeout_s
        argv = named.filled(self.name, self.values)
        return self.model_copy(update={"command": argv, "timeout": timeout})

    def run(self, job: Job) -> Outcome:
        assert self.command is not None
        argv = ["/bin/sh", "-c", self.command] if isinstance(self.command, str) else self.command
        return outcome_of(job.run(argv, timeout=self.timeout), self.timeout)
