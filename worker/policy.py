"""What may run where on this machine, and for whom, as `policy.toml` says it (pure). No message can
change it; `worker.policy_file` reads it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from relay.announced import Mode
from relay.names import NAME, spoken_key
from relay.protocol import MAX_TIMEOUT_S

ProjectName = Annotated[str, Field(pattern=NAME)]
READS = frozenset({"git.read", "claude.review", "claude.plan"})
"""Scopes of work that changes nothing: they run beside anything, and never grow stale."""
_HOLE = re.compile(r"\{([a-z][a-z0-9_]{0,31})\}")
_VALUE = re.compile(r"(?!-)[^\x00-\x1f\x7f]{1,1000}")


class Rejected(Exception):
    """The machine will not do it. The text is for people: what was asked, what is allowed."""


class _Frozen(BaseModel):
    # An unknown key is an error: a misspelt restriction must not quietly allow things.
    model_config = ConfigDict(frozen=True, extra="forbid")


_GIT = {"off": set(), "read": {"git.read"}, "write": {"git.read", "git.write", "git.approval"}}
_SHELL = {"off": set(), "named": {"shell.named"}, "full": {"shell.named", "shell.full"}}
SCOPES = frozenset(_GIT["write"] | _SHELL["full"] | {f"claude.{mode}" for mode in get_args(Mode)})
"""All that there are, as `area.level`, besides those of added actions."""


class Project(_Frozen):
    """A directory and what commands may do in it. What is not allowed here is not allowed."""

    path: str = Field(min_length=1, pattern=r"^[^\x00-\x1f\x7f]*$")
    aliases: tuple[str, ...] = ()
    git: Literal["off", "read", "write"] = "read"
    shell: Literal["off", "named", "full"] = "off"
    claude: tuple[Mode, ...] = ()
    claude_tools: tuple[str, ...] = ()
    """What a caller may let Claude Code use without asking, besides what its mode allows."""
    allow: tuple[str, ...] = ()
    """Further actions, by name: those that somebody added to `worker/actions`."""
    parallel: bool = False
    """Whether tasks that may change it run beside each other."""
    trust_repo_config: bool = False
    """Whether what the repository itself configures may run: hooks, filters, agents' settings."""

    def scopes(self) -> set[str]:
        """Everything that is allowed, as `area.level`."""
        claude = {f"claude.{mode}" for mode in self.claude}
        return _GIT[self.git] | _SHELL[self.shell] | claude | set(self.allow)


def _compiles(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as problem:
        raise ValueError(f"{text[:60]!r} is no pattern: {problem}") from None
    return text


class Hole(_Frozen):
    """What a caller may put into a named command: one whole argument."""

    pattern: Annotated[str, AfterValidator(_compiles)]
    """A regular expression that the whole value must match."""
    default: str | None = None


class NamedCommand(_Frozen):
    """A command that its owner has written down; callers fill its holes and change nothing else."""

    argv: tuple[str, ...] = Field(min_length=1)
    """The program and its arguments. An argument that is `{name}` and nothing else is a hole."""
    holes: Mapping[str, Hole] = {}
    projects: tuple[str, ...] = ()
    """Where it may run; nothing given: wherever named commands may."""
    timeout_s: float | None = Field(default=None, gt=0, le=MAX_TIMEOUT_S)

    @model_validator(mode="after")
    def _holes_fit(self) -> Self:
        named = {found[1] for word in self.argv if (found := _HOLE.fullmatch(word))}
        if named != set(self.holes):
            odd = ", ".join(sorted(named ^ set(self.holes)))
            raise ValueError(f"every hole of argv is described in holes, and no other; look at {odd}")
        if _HOLE.fullmatch(self.argv[0]):
            raise ValueError("the program itself cannot be a hole")
        return self

    def filled(self, name: str, values: Mapping[str, str]) -> list[str]:
        """The argument list with *values* in its holes. Raises Rejected."""
        if strange := sorted(values.keys() - self.holes.keys()):
            known = ", ".join(self.holes) or "nothing"
            raise Rejected(f"The command {name} takes {known}, not {', '.join(strange)}")
        given = {hole: values.get(hole, rule.default) for hole, rule in self.holes.items()}
        for hole, value in given.items():
            if value is None:
                raise Rejected(f"The command {name} needs a value for {hole}")
            if not (_VALUE.fullmatch(value) and re.fullmatch(self.holes[hole].pattern, value)):
                raise Rejected(
                    f"{hole} of {name} must look like {self.holes[hole].pattern}, not {value[:60]!r}"
                )
        return [given[found[1]] or "" if (found := _HOLE.fullmatch(word)) else word for word in self.argv]


class Limits(_Frozen):
    """Bounds that no request can lift."""

    max_timeout_s: float = Field(default=7_200, gt=0, le=MAX_TIMEOUT_S)
    max_output_mb: int = Field(default=64, ge=1, le=1_024)
    max_waiting: int = Field(default=10_000, ge=1)
    max_age_s: float = Field(default=600, gt=0)
    """What may change things and was asked longer ago than this waits for approval."""


class Approval(_Frozen):
    """When a person must say yes first."""

    require: tuple[str, ...] = ("git.approval", "claude.full")
    expire_s: float = Field(default=3_600, gt=0, le=604_800)
    """After so many seconds without a yes the answer is no."""


class Caller(_Frozen):
    """What one caller may ask for; a caller without an entry may ask for all that projects allow."""

    allow: tuple[str, ...]
    projects: tuple[str, ...] | None = None


class Policy(_Frozen):
    """The whole file."""

    version: Literal[1]
    projects: dict[ProjectName, Project] = {}
    commands: dict[ProjectName, NamedCommand] = {}
    callers: dict[ProjectName, Caller] = {}
    limits: Limits = Limits()
    approval: Approval = Approval()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        used = {one for command in self.commands.values() for one in command.projects}
        used |= {one for caller in self.callers.values() for one in caller.projects or ()}
        if strange := sorted(used - self.projects.keys()):
            raise ValueError(f"there is no project {', '.join(strange)}")
        most = self.limits.max_timeout_s
        if longer := [name for name, one in self.commands.items() if (one.timeout_s or 0) > most]:
            raise ValueError(
                f"the timeout_s of {', '.join(longer)} is more than max_timeout_s, which is {most:g}"
            )
        return self

    @model_validator(mode="after")
    def _scopes_are_known(self) -> Self:
        # A misspelt restriction must not quietly allow things. Those of added actions are not known here.
        lists = [self.approval.require, *(one.allow for one in self.callers.values())]
        lists += [one.allow for one in self.projects.values()]
        for scope in {one for listed in lists for one in listed} - SCOPES:
            meant = get_close_matches(scope, SCOPES, n=1, cutoff=0.75)
            if meant or scope.partition(".")[0] in {one.partition(".")[0] for one in SCOPES}:
                hint = f"did you mean {meant[0]}" if meant else f"there are {_listed(SCOPES)}"
                raise ValueError(f"there is no scope {scope}; {hint}")
        return self

    @cached_property
    def spoken(self) -> Mapping[str, list[str]]:
        """How projects may be called, as names are compared, and which ones are called so."""
        found: dict[str, list[str]] = {}
        for name, one in self.projects.items():
            for key in {spoken_key(name), *map(spoken_key, one.aliases)}:
                found.setdefault(key, []).append(name)
        return found

    def named(self, project: str) -> Mapping[str, NamedCommand]:
        """The commands that may be called by name in *project*."""
        return {name: one for name, one in self.commands.items() if project in (one.projects or {project})}


def check(policy: Policy, project: str, scope: str, caller: str) -> None:
    """Raises Rejected unless *scope* is allowed in *project*, and to *caller*."""
    allowed = policy.projects[project].scopes()
    if scope not in allowed:
        raise Rejected(f"Project {project} does not allow {scope}; it allows {_listed(allowed)}. {_CHANGE}")
    entry = policy.callers.get(caller)
    if entry is None:
        return
    if scope not in entry.allow:
        raise Rejected(f"{caller} may not ask for {scope}; it may ask for {_listed(entry.allow)}. {_CHANGE}")
    if entry.projects is not None and project not in entry.projects:
        raise Rejected(
            f"{caller} may not use project {project}; it may use {_listed(entry.projects)}. {_CHANGE}"
        )


_CHANGE = "Change it in policy.toml"


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


_MEANS = {
    "git.approval": "git that may publish or destroy work",
    "claude.full": "Claude Code that may run anything",
}


def needs_approval(policy: Policy, scope: str, age_s: float) -> str | None:
    """Why a person must say yes to work of *scope* that was asked for *age_s* seconds ago; None
    when nobody need."""
    if scope in policy.approval.require:
        return f"{_MEANS.get(scope, scope)} always needs your OK"
    if scope not in READS and age_s > policy.limits.max_age_s:
        return f"It was asked for {age_s / 60:.0f} minutes ago, and may no longer be wanted"
    return None
