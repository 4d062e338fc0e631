"""`policy.toml`: what may run where on this machine. No message can change it.

The file is read again when it changes. A broken file refuses everything and says why: running
with defaults after a typing mistake would be the opposite of what its owner meant.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from relay.protocol import NAME, explain

ProjectName = Annotated[str, Field(pattern=NAME)]


class Rejected(Exception):
    """The machine will not do it. The text is for people: what was asked, what is allowed."""


class _Frozen(BaseModel):
    # An unknown key is an error: a misspelt restriction must not quietly allow things.
    model_config = ConfigDict(frozen=True, extra="forbid")


class Project(_Frozen):
    """A directory and what commands may do in it. What is not allowed here is not allowed."""

    path: str = Field(min_length=1)
    aliases: tuple[str, ...] = ()
    git: Literal["off", "read", "write"] = "read"
    shell: Literal["off", "full"] = "off"
    claude: tuple[Literal["review", "plan", "edit", "full"], ...] = ()
    allow: tuple[str, ...] = ()
    """Further actions, by name: those that somebody added to `worker/actions`."""

    def scopes(self) -> set[str]:
        """Everything that is allowed, as `area.level`."""
        git = {"off": set(), "read": {"git.read"}, "write": {"git.read", "git.write"}}[self.git]
        shell = {"shell.full"} if self.shell == "full" else set()
        return git | shell | {f"claude.{mode}" for mode in self.claude} | set(self.allow)


class Policy(_Frozen):
    """The whole file."""

    version: Literal[1]
    projects: dict[ProjectName, Project] = {}


class PolicyFile:
    """The policy as the file says it now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: object = None
        self._read: Callable[[], Policy] = self._missing

    def current(self) -> Policy:
        """Today's policy. Raises Rejected while the file is missing or broken."""
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except OSError:
            return self._missing()
        if seen != self._seen:
            self._read, self._seen = _load(self._path), seen
        return self._read()

    def _missing(self) -> Policy:
        raise Rejected(
            f"There is no {self._path} on this machine, so nothing is allowed; make run writes one"
        )


def check(name: str, project: Project, scope: str) -> None:
    """Raises Rejected unless *scope* is allowed in the project *name*."""
    allowed = project.scopes()
    if scope not in allowed:
        listed = ", ".join(sorted(allowed)) or "nothing"
        raise Rejected(f"Project {name} does not allow {scope}; it allows {listed}. Change it in policy.toml")


def _load(path: Path) -> Callable[[], Policy]:
    try:
        policy = Policy.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as problem:
        why = explain(problem)
    except (OSError, ValueError) as problem:
        why = str(problem)
    else:
        return lambda: policy

    def refuse() -> Policy:
        raise Rejected(f"{path} cannot be used ({why}), so nothing is allowed until it is put right")

    return refuse
