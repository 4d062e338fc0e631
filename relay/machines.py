"""`GET /machines`: who is there, and what waits for whom. Presence is what was heard, not hoped."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from relay import openapi, store
from relay.announced import Agent
from relay.hub import Relay
from relay.tables import Machine
from relay.tasks import json_response


class MachineView(BaseModel):
    """One machine that has a key here."""

    name: str
    online: bool = Field(description="Whether it was heard in the last 30 seconds.")
    last_seen_at: AwareDatetime | None = Field(description="When it was heard last; null when never.")
    version: str | None
    busy: int | None = Field(description="How many tasks run there; null while it is offline.")
    queued: int | None = Field(description="How many wait there for a free worker; null while it is offline.")
    worker: bool | None = Field(description="Whether its worker runs; null while it is offline.")
    waiting: int = Field(description="How many webhooks wait here for it.")
    agents: list[Agent] | None = Field(description="The assistants it can call; null while it is offline.")


class MachineList(BaseModel):
    """The answer to `GET /machines`."""

    machines: list[MachineView]


def routes(relay: Relay) -> APIRouter:
    """The endpoint."""
    router = APIRouter(tags=["machines"])

    @router.get("/machines", response_model=MachineList, responses=openapi.problems())
    async def list_machines(request: Request) -> Response:
        """Every machine that has a key here, in alphabetical order."""
        relay.doors.caller(request)
        seen = await relay.writer.run(store.last_seen)
        names = relay.doors.machines.names()
        waiting = {name: await relay.writer.run(store.count_waiting, name) for name in names}
        shown = [_view(relay, name, seen.get(name), waiting[name]) for name in names]
        return json_response(MachineList(machines=shown))

    return router


def _view(relay: Relay, name: str, seen: Machine | None, waiting: int) -> MachineView:
    session = relay.hub.session(name)
    return MachineView(
        name=name,
        online=session is not None,
        last_seen_at=datetime.fromtimestamp(seen.seen_at, UTC) if seen else None,
        version=seen.version if seen else None,
        busy=session.busy if session else None,
        queued=session.queued if session else None,
        worker=session.worker if session else None,
        waiting=waiting,
        agents=session.agents if session else None,
    )
