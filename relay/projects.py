"""`GET /projects`: what may be asked for on which machine, as the machines announced it."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from relay import openapi
from relay.announced import AnnouncedAction, AnnouncedProject
from relay.hub import Relay
from relay.tasks import json_response


class MachineProjects(BaseModel):
    """One machine that has a key here, and its projects."""

    machine: str
    online: bool = Field(description="Whether it was heard in the last 30 seconds.")
    projects: list[AnnouncedProject] | None = Field(
        description="What it allows, remembered while it sleeps; null when it never said so."
    )
    actions: list[AnnouncedAction] = Field(description="What its owner added to git, shell and claude_code.")


class ProjectList(BaseModel):
    """The answer to `GET /projects`."""

    machines: list[MachineProjects]


def routes(relay: Relay) -> APIRouter:
    """The endpoint."""
    router = APIRouter(tags=["machines"])

    @router.get("/projects", response_model=ProjectList, responses=openapi.problems())
    async def list_projects(request: Request) -> Response:
        """The projects of every machine and what may be asked for there: what git, the shell and
        Claude Code may do, and which commands have names. Never where they lie."""
        relay.doors.caller(request)
        return json_response(ProjectList(machines=known(relay)))

    return router


def known(relay: Relay) -> list[MachineProjects]:
    """Every machine that has a key here, in alphabetical order, with what it announced last."""
    return [_known(relay, name) for name in relay.doors.machines.names()]


def _known(relay: Relay, name: str) -> MachineProjects:
    told, online = relay.hub.announced.get(name), relay.hub.is_online(name)
    if told is None:
        return MachineProjects(machine=name, online=online, projects=None, actions=[])
    return MachineProjects(machine=name, online=online, projects=told.projects, actions=told.actions)
