"""What a tool is: the words of its parameters, the shapes of its results, what it may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field, WithJsonSchema

from relay.announced import AnnouncedProject
from relay.names import Name
from relay.offers import May, Narrow, Offers
from relay.projects import MachineProjects
from relay.protocol import MAX_TIMEOUT_S, Status, TaskId

Project = Annotated[str | None, Field(description="The project, by the name that list_projects gives.")]
MachineName = Annotated[Name | None, Field(description="The machine, when a project is on several.")]
EarlierTask = Annotated[TaskId, Field(description="The task_id of an earlier result.")]
# Written out: the words for programmers in the status's own description are not for assistants.
OfStatus = Annotated[
    Status | None,
    Field(description="Only tasks that are there."),
    WithJsonSchema({"type": "string", "enum": list(Status)}),
]
Title = Annotated[
    str | None, Field(max_length=200, description="The user's request in their own words, for the task list.")
]
RequestId = Annotated[
    str | None,
    Field(
        pattern=r"^[\x21-\x7e]{8,128}$",
        description="A new random id for each new request. Send the same id when you repeat a call whose "
        "answer did not arrive: it then runs once.",
    ),
]
Seconds = Annotated[float | None, Field(gt=0, le=MAX_TIMEOUT_S, description="Stop it after so many seconds.")]


def allows_git(project: AnnouncedProject) -> bool:
    """Whether git may be asked for anything."""
    return project.git != "off"


def allows_git_to_change(project: AnnouncedProject) -> bool:
    """Whether git may be asked for anything but looking."""
    return project.git == "write"


def allows_shell(project: AnnouncedProject) -> bool:
    """Whether any command may be asked for."""
    # "named" without a named command allows nothing.
    return project.shell == "full" or (project.shell == "named" and bool(project.commands))


def allows_added_actions(project: AnnouncedProject) -> bool:
    """Whether actions that the owner added may be asked for; which of them, the machine knows."""
    return bool(project.allow)


def allows_claude(project: AnnouncedProject) -> bool:
    """Whether Claude Code may be asked for anything."""
    return bool(project.claude)


def allows_claude_to_change(project: AnnouncedProject) -> bool:
    """Whether Claude Code may be asked for anything but reading."""
    return bool({"ask", "edit", "full"} & set(project.claude))


class Common(BaseModel):
    """What every tool takes that starts something."""

    project: Project = None
    machine: MachineName = None
    title: Title = None
    request_id: RequestId = None


class TaskLine(BaseModel):
    """A task in a list."""

    task_id: str
    status: Status
    summary: str
    action_type: str
    title: str | None
    machine: str
    created_at: AwareDatetime


class Tasks(BaseModel):
    """The newest tasks."""

    summary: str
    next_step: str
    tasks: list[TaskLine]


class Projects(BaseModel):
    """Every machine with its projects and what they allow."""

    summary: str
    next_step: str
    machines: list[MachineProjects]


@dataclass(frozen=True)
class Tool:
    """One of the functions of `relay.tools`, and what assistants are told about it besides its docstring."""

    title: str
    run: Callable[..., Awaitable[BaseModel]]
    may: May | None = None
    """Which projects it may be used in; None: it is not about a project."""
    changes: May | bool = True
    """Whether it can change anything; when that depends on the project, in which."""
    narrow: Narrow | None = None
    """What else of its parameters depends on what is allowed."""

    @property
    def name(self) -> str:
        return self.run.__name__

    def is_offered(self, offers: Offers) -> bool:
        """Whether it is of any use by these *offers*."""
        return self.may is None or offers.allows(self.may)

    def can_change(self, offers: Offers) -> bool:
        """Whether it can change anything anywhere. Apps ask their user before each call that can."""
        return self.changes if isinstance(self.changes, bool) else offers.allows(self.changes)

    @property
    def description(self) -> str:
        return " ".join((self.run.__doc__ or "").split())
