"""`git`: a git command in a project, from an allow-list, with nothing of the repository's run."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from worker.actions.base import Action, Job, Outcome, last_line, outcome_of
from worker.actions.git.headlines import headline
from worker.actions.git.rules import RULES, Call, classify
from worker.policy import Rejected
from worker.process import Completed

_NOTES = """\
Paths and names stay inside the project: nothing that is absolute, goes up with `..`, or names another
protocol. `branch NAME [START]` creates a branch and needs `write`. `pull` is always `--ff-only`, `commit`
always needs `-m`.
Hooks, external diff programs, pagers and editors of the repository are switched off. Content filters that the
repository's own configuration names are not audited yet: allow git only where you trust that configuration.
"""
_NETWORK = {"fetch", "pull"}

# Environment: no question is ever asked, no program of the repository's choosing is started.
_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    # Without these two, an askpass program hangs even when prompts are off.
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "SSH_ASKPASS_REQUIRE": "never",
    "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
    "GIT_EDITOR": ":",
    "GIT_SEQUENCE_EDITOR": ":",
    "GIT_MERGE_AUTOEDIT": "no",
    "GIT_PAGER": "cat",
    "PAGER": "cat",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_ALLOW_PROTOCOL": "https:ssh",
    "GIT_PROTOCOL_FROM_USER": "0",
    "GCM_INTERACTIVE": "never",
    "LC_ALL": "C.UTF-8",
}
# Configuration that overrules the repository's own.
_CONFIG = {
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.pager": "cat",
    "core.editor": ":",
    "safe.bareRepository": "explicit",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "diff.ignoreSubmodules": "dirty",
    "diff.submodule": "short",
    "format.pretty": "medium",
    "log.showSignature": "false",
    "commit.gpgsign": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "protocol.ext.allow": "never",
    "core.alternateRefsCommand": "",
    "credential.interactive": "false",
    "color.ui": "false",
}


class Git(Action):
    """Run a git command in a project: status, log, diff, show, branch, add, commit, switch, fetch, pull."""

    action_type: ClassVar[str] = "git"

    command: (
        Annotated[str, Field(min_length=1, max_length=16_384)]
        | Annotated[list[str], Field(min_length=1, max_length=100)]
    )
    """The command, beginning with `git`: a list of words, or a string that is split as a shell
    would split it. No shell is involved."""

    @classmethod
    def notes(cls) -> str:
        """The table of what is allowed."""
        rows = [f"| `{name}` | {rule.access} | {rule.options()} |" for name, rule in RULES.items()]
        head = ["", "| sub-command | needs | options |", "| --- | --- | --- |"]
        return "\n".join([*head, *rows, "", _NOTES])

    @property
    def scope(self) -> str:
        return f"git.{self._call().access}"

    @property
    def preview(self) -> str:
        return self.command if isinstance(self.command, str) else shlex.join(self.command)

    def run(self, job: Job) -> Outcome:
        call = self._call()
        completed = job.run(call.argv, timeout=self.timeout, env=_environment(job.root, call))
        said = headline(call.subcommand, completed.stdout) or last_line(completed)
        return outcome_of(completed, self.timeout, said if _is_good(completed) else None)

    def _call(self) -> Call:
        try:
            words = shlex.split(self.command) if isinstance(self.command, str) else self.command
        except ValueError as problem:
            raise Rejected(f"The command cannot be split into words: {problem}; send a list") from None
        return classify(words)


def _is_good(completed: Completed) -> bool:
    return completed.returncode == 0


def _environment(root: Path, call: Call) -> dict[str, str]:
    config = {f"GIT_CONFIG_KEY_{i}": key for i, key in enumerate(_CONFIG)}
    config |= {f"GIT_CONFIG_VALUE_{i}": value for i, value in enumerate(_CONFIG.values())}
    # A project below some other repository is not that repository.
    ceiling = {"GIT_CEILING_DIRECTORIES": str(root.parent), "GIT_CONFIG_COUNT": str(len(_CONFIG))}
    agent = os.environ.get("SSH_AUTH_SOCK") if call.subcommand in _NETWORK else None
    return {**_ENVIRONMENT, **config, **ceiling, **({"SSH_AUTH_SOCK": agent} if agent else {})}
