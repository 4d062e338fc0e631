"""The language that relay and machine speak. docs/ARCHITECTURE.md has what else both may import. No I/O.

A *command* goes to the machine inside a `Webhook`, which it answers with an `Ack` or a `Nack`;
news about the task comes back as a `Report`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from relay import terminal
from relay.announced import Actions, Agents, Announced, Projects
from relay.names import Name
from relay.version import PROTOCOL

MAX_BODY_BYTES = 1_048_576
MAX_FRAME_BYTES = 4 * MAX_BODY_BYTES + 65_536  #: one body at its longest (`1e15` is 1000000000000000.0)
MAX_OUTPUT_CHARS, MAX_REPORTS = 20_000, 100  #: tail of output in a report; reports in one request
DEFAULT_TTL_S, MAX_TTL_S, MAX_TIMEOUT_S = 86_400.0, 604_800.0, 86_400.0
COMMAND, CANCEL, RETRY = "task_command", "task_cancel", "task_retry"  #: events that are orders
HEARTBEAT_S = 20.0  #: how often a machine says that it is there
TASK_ID = r"^\.{0,127}[A-Za-z0-9_:-][A-Za-z0-9._:-]{0,127}$"  #: not only dots: /tasks/.. is a folder above
TaskId = Annotated[str, Field(pattern=TASK_ID, max_length=128)]


class Status(StrEnum):
    """Where a task is. Think hard before adding one: callers, pages and docs know this list."""

    AWAITING_APPROVAL = "awaiting_approval"  #: a person must say yes on the machine
    PENDING = "pending"  #: accepted, not started
    RUNNING = "running"  #: its program has been started
    COMPLETED = "completed"  #: it ended well
    FAILED = "failed"  #: it ended badly; the reason says how
    CANCELLED = "cancelled"  #: somebody stopped it

    @property
    def is_final(self) -> bool:
        return self in FINAL


class Reason(StrEnum):
    """Why a task is `failed`."""

    EXIT_STATUS = "exit_status"  #: the program said no
    TIMED_OUT = "timed_out"  #: it took longer than its time-out
    REJECTED = "rejected"  #: validation or policy said no; nothing was run
    INTERRUPTED = "interrupted"  #: the worker or the machine died while it ran
    EXPIRED = "expired"  #: it was not started in time
    UNDELIVERABLE = "undeliverable"  #: the machine never acknowledged it
    ERROR = "error"  #: none of these; the error sentence says what


FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})

MOVES: Mapping[Status, frozenset[Status]] = {
    Status.AWAITING_APPROVAL: frozenset({Status.PENDING, Status.CANCELLED, Status.FAILED}),
    Status.PENDING: frozenset({Status.RUNNING, Status.AWAITING_APPROVAL, Status.CANCELLED, Status.FAILED}),
    Status.RUNNING: FINAL,
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset({Status.PENDING, Status.AWAITING_APPROVAL}),  # "run again": attempt n+1
    Status.CANCELLED: frozenset({Status.PENDING, Status.AWAITING_APPROVAL}),
}
"""The legal moves of a task, asked by relay and worker alike."""


def sources(target: Status) -> tuple[Status, ...]:
    """The statuses from which a task may move to *target*, for compare-and-set updates."""
    return tuple(status for status, targets in MOVES.items() if target in targets)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Command(_Frozen):
    """What a caller asked. It never changes; the machine decides whether it may run."""

    task_id: TaskId
    """Up to 128 of `A-Z a-z 0-9 . _ : -`, not only dots; made by the relay when absent."""
    action_type: Name
    """The action: `git`, `shell` or `claude_code`."""
    params: dict[str, Any] = Field(default_factory=dict)
    """The action's parameters, see LLM_ACTIONS."""
    title: str | None = Field(default=None, max_length=200)
    """The request in the user's own words, shown in the viewer."""
    machine: Name | None = None
    """Which machine; needed only when the relay knows several."""
    ttl: float = Field(default=DEFAULT_TTL_S, ge=1, le=MAX_TTL_S, allow_inf_nan=False)
    """Seconds after which the task is not started any more."""
    sync: bool = False
    """Hold the answer up to 25 seconds, like `?wait=25`."""


class Report(_Frozen):
    """News about a task, machine to relay. A whole picture, not a difference."""

    task_id: TaskId
    rev: int = Field(ge=1, lt=2**63)
    """Grows with every change on the machine; orders the news of one task."""
    attempt: int = Field(ge=1, lt=2**31)
    status: Status
    reason: Reason | None = None
    """Set exactly when the status is `failed`."""
    error: str | None = Field(default=None, max_length=4_000)
    """One sentence for people: what was seen, what was expected, the way out."""
    headline: str | None = Field(default=None, max_length=200)
    """What the result says in a few words; of a task that runs, what its owner is asked to allow."""
    returncode: int | None = Field(default=None, ge=-(2**31), lt=2**32)
    output: str = Field(default="", max_length=MAX_OUTPUT_CHARS)
    """The end of what it printed."""
    truncated: bool = False
    """Whether it printed more than `output` shows."""
    started_at: AwareDatetime | None = None
    completed_at: AwareDatetime | None = None

    @field_validator("error", "headline", "output")
    @classmethod
    def _for_no_terminal(cls, text: str | None) -> str | None:
        # Whoever asked may print it in a terminal, where a program's words must control nothing.
        return text and terminal.lines(text)


class Announcement(Announced):
    """What the machine told in its hello has changed; all of it again."""

    type: Literal["announcement"] = "announcement"


class Hello(_Frozen):
    """First frame of a session, machine to relay."""

    type: Literal["hello"] = "hello"
    protocol: int = PROTOCOL
    machine: Name
    version: str = Field(max_length=64)
    max_message: int = Field(default=MAX_FRAME_BYTES, ge=4_096)  #: largest frame that it takes, in bytes
    projects: Projects | None = None  #: what may be asked for here; None: it does not say
    actions: Actions = []  #: what can be asked for besides git, shell and claude_code
    agents: Agents = []


class Ack(_Frozen):
    """These deliveries are on the machine's disk; the relay may forget them."""

    type: Literal["ack"] = "ack"
    delivery_ids: list[str] = Field(max_length=1_000)


class Nack(_Frozen):
    """The machine will never take this delivery, and says why in one sentence."""

    type: Literal["nack"] = "nack"
    delivery_id: str
    error: str = Field(max_length=4_000)


class Heartbeat(_Frozen):
    """Machine to relay every HEARTBEAT_S, and when its `sign` changes; unanswered, it reconnects."""

    type: Literal["heartbeat"] = "heartbeat"
    busy: int = Field(default=0, ge=0)  #: how many tasks run
    queued: int = Field(default=0, ge=0)  #: how many wait for a free worker
    worker: bool = True  #: whether the worker runs; without it nothing is started

    @property
    def sign(self) -> tuple[bool, bool]:
        """What of it decides whether a task is about to start; news when it changes."""
        return self.worker, self.queued > 0


class Welcome(_Frozen):
    """First frame of a session, relay to machine: the key decided which machine this is."""

    type: Literal["welcome"] = "welcome"
    protocol: int = PROTOCOL
    machine: Name
    waiting: int = Field(ge=0)  #: how many webhooks wait for this machine


class Webhook(_Frozen):
    """One accepted webhook on its way to a machine: the documented envelope and our additions."""

    type: Literal["webhook"] = "webhook"
    event: str  #: `task_command`, `github.push`, or whatever the payload says
    delivery_id: str
    timestamp: AwareDatetime  #: when the relay accepted it
    payload: dict[str, Any]
    """The webhook's body; for `task_command`, `payload["data"]` is a whole `Command`."""
    caller: str  #: whose key posted it, or wants it sent once more
    first_caller: str | None = None  #: who asked for this command first, when it was somebody else
    expires_in: float = Field(ge=-1e9, le=1e9, allow_inf_nan=False)
    """Seconds left to start it; relative, so that a wrong clock on the machine does no harm."""
    attempt: int = Field(ge=1)  #: how often it was sent, this time included


class Fetched(_Frozen):
    """Whoever asked was given the result of this attempt, to tell a person."""

    task_id: TaskId
    attempt: int = Field(ge=1, lt=2**31)
    ago_s: float = Field(ge=0, le=1e9, allow_inf_nan=False)  #: relative, as clocks differ


class HeartbeatAck(_Frozen):
    """The answer to a heartbeat."""

    type: Literal["heartbeat_ack"] = "heartbeat_ack"
    fetched: list[Fetched] = []  #: since the last answer


MachineFrame = Annotated[Hello | Ack | Nack | Heartbeat | Announcement, Field(discriminator="type")]
RelayFrame = Annotated[Welcome | Webhook | HeartbeatAck, Field(discriminator="type")]


class CloseCode(IntEnum):
    """Why the relay ended a session (RFC 6455 leaves 4000 to 4999 to us)."""

    PROTOCOL_ERROR = 4400
    ACK_TIMEOUT = 4408
    SUPERSEDED = 4409
