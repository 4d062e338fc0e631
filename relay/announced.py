"""What a machine tells about itself, so that others know what they may ask it for. No I/O."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from relay.names import Name

MAX_PROJECTS, MAX_ACTIONS = 500, 50  #: that one machine announces
MAX_SCHEMA_CHARS = 20_000
"""Of the parameters of one action: every assistant reads all of it."""


Mode = Literal["review", "plan", "ask", "edit", "full"]
"""How Claude Code may be used, the least first."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class AnnouncedProject(_Frozen):
    """A project as its machine announces it: what may be asked for there, never where it lies."""

    name: Name
    aliases: list[Annotated[str, Field(max_length=100)]] = Field(default_factory=list, max_length=20)
    """Other names, as people say them."""
    git: Literal["off", "read", "write"]
    shell: Literal["off", "named", "full"]
    commands: dict[Name, list[str]] = Field(default_factory=dict, max_length=200)
    """The commands that may be called by name, each with the names of its holes."""
    claude: list[Mode]
    allow: list[Annotated[str, Field(max_length=100)]] = Field(default_factory=list, max_length=100)
    """Scopes of actions that its owner added."""


class _OneField(BaseModel):
    any_of: list[dict[str, Any]] = Field(default=[], alias="anyOf")  # Any: JSON


class _ToolShape(BaseModel):
    """What tools must have in common. One that has not makes apps refuse all that are listed with it."""

    dialect: str | None = Field(default=None, alias="$schema")
    type: Literal["object"] = "object"
    properties: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")], _OneField] = {}
    required: list[str] = []


def _fits_a_tool(schema: dict[str, Any]) -> dict[str, Any]:  # Any: JSON
    _ToolShape.model_validate(schema)
    if (seen := len(json.dumps(schema))) > MAX_SCHEMA_CHARS:
        raise ValueError(f"a schema of {seen} characters; {MAX_SCHEMA_CHARS} are allowed")
    return schema


class AnnouncedAction(_Frozen):
    """An action that the machine's owner added."""

    name: Name
    description: str = Field(max_length=1_000)
    parameters: Annotated[dict[str, Any], AfterValidator(_fits_a_tool)]  # Any: JSON
    """A JSON schema of what goes into a command's `params`, such that a tool can be made of it."""


class Agent(_Frozen):
    """An assistant that its machine can call, as it was found there some minutes ago."""

    name: Name  #: the action that calls it
    version: Annotated[str, Field(max_length=64)] | None  #: None: it is missing, or too old or broken
    logged_in: bool | None  #: None: that could not be found out


Projects = Annotated[list[AnnouncedProject], Field(max_length=MAX_PROJECTS)]
Actions = Annotated[list[AnnouncedAction], Field(max_length=MAX_ACTIONS)]
Agents = Annotated[list[Agent], Field(max_length=20)]


class Announced(_Frozen):
    """All that a machine has told."""

    projects: Projects
    actions: Actions = []
    agents: Agents = []
