"""What an action is. A new action is one new file beside this one; see CONTRIBUTING.md."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field

from relay.announced import Agent
from relay.protocol import MAX_TIMEOUT_S, Reason, Status
from worker import process
from worker.actions.said import ended_with, in_seconds, said
from worker.environment import environment
from worker.manners import MAX_OUTPUT_BYTES, ORDINARY, Manners
from worker.output import open_log, write_all
from worker.policy import Policy
from worker.process import Completed, Ending
from worker.redact import Redactor

TOO_MUCH = "more than max_output_mb in policy.toml allows"


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended. `error` is one sentence for people when it ended badly."""

    status: Status
    reason: Reason | None = None
    error: str | None = None
    headline: str | None = None
    """What the result says in a few words, to be spoken; None when only the output tells."""
    output_data: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON


class Answer(StrEnum):
    """What a person said to what a running task asked."""

    YES = "yes"
    NO = "no"
    NONE = "none"  #: nothing, in time; which is a no


@dataclass(frozen=True)
class Request:
    """What a running task wants to do and may not do unasked."""

    tool: str
    line: str
    """All of it in one line, for a list."""
    params: Mapping[str, Any]  # Any: JSON
    """Exactly what it would be done with; whoever is asked sees all of it."""
    why: str = ""
    """Why it has to be asked; empty when it was not said."""


class Question(Protocol):
    """A request that was put to a person."""

    def answer(self) -> Answer | None:
        """What they said; None as long as there is time to say something. It may be asked often."""

    def withdraw(self) -> None:
        """It does not matter any more."""


@dataclass(frozen=True)
class Job:
    """One attempt at work: where, and the means to run programs in it."""

    root: Path
    """The project's own directory."""
    directory: Path
    """Where to run; the root or a directory below it."""
    log: Path
    marker: str
    stop: Callable[[], bool]
    roots: tuple[Path, ...] = ()
    """Further directories of this machine in which the same is allowed."""
    is_trusted: bool = False
    """Whether the project's owner trusts what is configured in the repository itself."""
    redactor: Redactor | None = None
    """Takes secrets out of what programs print; None: nothing is taken out."""
    most_bytes: int = MAX_OUTPUT_BYTES
    """A program that prints more is stopped."""
    ask: Callable[[Request], Question] | None = None
    """Puts something to the machine's owner, in the viewer; None: there is nobody to ask."""
    keep: Callable[[Mapping[str, Any]], None] = lambda _: None  # Any: JSON
    """Writes down now what shall be known of the attempt when the worker dies; its outcome replaces it."""

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
        manners: Manners = ORDINARY,
    ) -> Completed:
        """Run a program here; *env* is added to the allow-listed environment. Raises CannotStart."""
        return process.run(
            argv,
            cwd=self.directory,
            env=environment(env),
            log=self.log,
            marker=self.marker,
            timeout=timeout,
            stop=self.stop,
            manners=replace(manners, redactor=self.redactor, most_bytes=self.most_bytes),
        )

    def note(self, line: str) -> None:
        """Add a line of our own to what the attempt printed. That it cannot be written now is no reason to
        lose what was done."""
        with suppress(OSError), open_log(self.log) as sink:
            write_all(sink, f"{self.redactor.clean(line) if self.redactor else line}\n")


class Action(BaseModel):
    """The parameters of one kind of work, and how it is done. Field docstrings become the docs.

    A subclass names its `action_type`, says its `scope`, and does the work in `run`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    action_type: ClassVar[str]

    project: str | None = None
    """The project's name or alias, as `policy.toml` has it. Not needed when there is only one."""
    working_dir: str | None = None
    """A directory inside a project: absolute, or relative to the named project."""
    timeout: float = Field(default=30.0, gt=0, le=MAX_TIMEOUT_S, allow_inf_nan=False)
    """Seconds after which it is stopped, with everything it started."""

    @classmethod
    def notes(cls) -> str:
        """What else docs/LLM_ACTIONS.md shall say, as Markdown."""
        return ""

    @property
    @abstractmethod
    def scope(self) -> str:
        """What the project's policy must allow, as `area.level`. Raises Rejected when the
        parameters ask for something that is never allowed."""

    def bound(self, rules: Policy, project: str) -> Self:  # noqa: ARG002 - most actions need nothing of it
        """The action with what policy.toml knows about it filled in. Raises Rejected."""
        return self

    @property
    @abstractmethod
    def preview(self) -> str:
        """What would run, in one line, for a person to read."""

    @classmethod
    def follow_up(
        cls,
        params: Mapping[str, Any],  # noqa: ARG003 - as below
        result: Mapping[str, Any],  # noqa: ARG003 - most actions have nothing that could go on
        words: str,  # noqa: ARG003
    ) -> dict[str, Any] | None:  # Any: JSON
        """The parameters with which *words* go on where a task with *params* and *result* ended; None
        when it left nothing that could go on."""
        return None

    def lane(self, repository: str | None) -> str | None:
        """What it must hold alone while it runs. *repository*: the real path of the one that it may
        change, which is what most need; None where it changes none, or others may beside it."""
        return repository

    @classmethod
    def recover(cls, output_dir: Path, marker: str) -> None:
        """Settle what attempts of a worker that died left in *output_dir*, before any other begins.
        Programs that it starts carry *marker*. It must not raise."""

    @classmethod
    def look(cls, marker: str) -> Agent | None:  # noqa: ARG003 - most actions call no assistant
        """The assistant that it calls, as it is found on this machine now, within a minute; None when it
        calls none. Programs that it starts carry *marker*."""
        return None

    @abstractmethod
    def run(self, job: Job) -> Outcome:
        """Do it. Raises Rejected or CannotStart instead of returning when nothing was run."""


def outcome_of(completed: Completed, timeout: float, headline: str | None = None) -> Outcome:
    """The ordinary verdict on one program: only exit status 0 is a success."""
    output_data = {
        "stdout": completed.stdout,
        "stderr": completed.stderr,
        "returncode": completed.returncode,
        "seconds": round(completed.seconds, 3),
    }
    if completed.ending is Ending.TIMED_OUT:
        error = f"It ran longer than {in_seconds(timeout)} and was stopped; a longer timeout may be given"
        return Outcome(Status.FAILED, Reason.TIMED_OUT, error, None, output_data)
    if completed.ending is Ending.TOO_MUCH_OUTPUT:
        error = f"It printed {TOO_MUCH} and was stopped"
        return Outcome(Status.FAILED, Reason.ERROR, error, None, output_data)
    if completed.ending is Ending.STOPPED:
        return Outcome(Status.CANCELLED, output_data=output_data)
    if completed.returncode != 0:
        error = f"It {ended_with(completed.returncode)}" + _last_words(completed)
        why = said(completed.stdout, completed.stderr, failed=True)
        return Outcome(Status.FAILED, Reason.EXIT_STATUS, error, why, output_data)
    told = headline or said(completed.stdout, completed.stderr)
    return Outcome(Status.COMPLETED, headline=told, output_data=output_data)


def last_line(completed: Completed) -> str | None:
    """The last line that says something; errors speak before results, and git's own word for them before
    the advice that follows it. At most 200 characters."""
    first, second = (completed.stdout, completed.stderr)
    if completed.returncode != 0:
        first, second = second, first
    for text in (first, second):
        if lines := [line.strip() for line in text.splitlines() if line.strip()]:
            return next((line for line in lines if line.startswith("fatal: ")), lines[-1])[:200]
    return None


def _last_words(completed: Completed) -> str:
    line = last_line(completed)
    return f": {line}" if line else " and printed nothing"
