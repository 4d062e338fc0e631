"""The seam between what every assistant on the command line needs and what only one of them knows.

An `Agent` says how its program is found, called and understood. Time, death, the log, git and the
record are shared (`work`). Another assistant is one more class like `cli.Claude`, and an action that
hands it to `work.perform`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from relay.announced import Mode
from relay.protocol import Reason
from worker.actions.base import Job
from worker.manners import Farewell

CHANGES: frozenset[Mode] = frozenset({"ask", "edit", "full"})
"""The modes in which files may change."""


Clean = Callable[[Any], Any]  # Any: JSON
"""Takes secrets out of every text in a JSON value."""


@dataclass(frozen=True)
class Ask:
    """What an assistant shall do, checked: nothing in it is a flag, a variable or a setting."""

    prompt: str
    mode: Mode
    session: str
    """The id under which it works: a new one of ours, or that of an earlier session."""
    earlier: str | None = None
    """The session that it continues; the same as `session` unless that is a fork of it."""
    model: str | None = None
    max_turns: int = 30
    max_budget_usd: float = 2.0
    tools: tuple[str, ...] = ()
    """What it may use without asking, besides what the mode allows."""
    is_apart: bool = False
    """Whether it works on a branch of its own, beside the checkout."""
    is_trusted: bool = False
    """Whether it may obey what is configured in the repository."""


@dataclass(frozen=True)
class Call:
    """How its program is started."""

    argv: tuple[str, ...]
    stdin: bytes
    env: Mapping[str, str]
    farewell: Farewell
    is_dialogue: bool = False
    """Whether its stdin stays open for replies until it has a RESULT."""


class Kind(Enum):
    """What an event tells."""

    SESSION = "session"
    TEXT = "text"
    TOOL = "tool"
    DONE = "done"  #: a tool has done its work
    TROUBLE = "trouble"  #: a tool has not
    DENIED = "denied"  #: it was not allowed to
    ASKS = "asks"  #: it wants to use a tool, and waits for a reply
    WITHDRAWN = "withdrawn"  #: it does not wait for that reply any more
    NOTICE = "notice"
    RESULT = "result"


@dataclass(frozen=True)
class Event:
    """One thing that the assistant did, as its adapter understood it."""

    kind: Kind
    text: str = ""
    """For people. Of a TEXT all of it, of everything else one line."""
    is_nested: bool = False
    """Whether an assistant of the assistant did it."""
    data: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON
    """Of a RESULT, what `Agent.outcome` needs to know; of DENIED, `tool`; of ASKS, `tool`, `params`,
    `why` and its `id`, which WITHDRAWN has as well."""


@dataclass(frozen=True)
class Ended:
    """What is left when its program is gone."""

    ask: Ask
    results: Sequence[Mapping[str, Any]]  # Any: JSON
    """The data of every RESULT; there may be none, or several."""
    denied: Sequence[str]
    """What it was not allowed to do: a tool, and what for."""
    text: str
    """The last TEXT."""
    returncode: int
    stderr: str


@dataclass(frozen=True)
class Verdict:
    """How it went, by the rules of that assistant; whether we stopped it is not its business."""

    ended: str
    """`success`, or a word for what went wrong: `max_turns`, `not_logged_in`, …"""
    error: str | None = None
    """A sentence with the way out; None for success."""
    reason: Reason = Reason.ERROR
    answer: str = ""
    cost_usd: float | None = None
    """Of this run alone; None when it did not say."""
    turns: int | None = None


class Agent(Protocol):
    """One assistant. Everything but `probe` is pure."""

    name: str

    def probe(self, job: Job) -> Path:
        """Its program. Raises Rejected with the way out when it is not there, too old or broken."""

    def command(self, program: Path, ask: Ask, notes: Path | None) -> Call:
        """How to start it. *notes*: a file with text that the repository has for assistants."""

    def parse(self, line: str, directory: str, clean: Clean) -> Iterable[Event]:
        """What a line of its stdout tells; nothing when it is not understood. Never raises. What people
        read goes through *clean* before it is cut."""

    def reply(self, asked: Event, refusal: str | None) -> bytes:
        """What its stdin gets for an ASKS: do exactly that, or, with a *refusal*, why not. Asked for
        nothing when `Call.is_dialogue` is False."""

    def outcome(self, ended: Ended) -> Verdict:
        """How it went."""
