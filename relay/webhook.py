"""`POST /webhook`: who sent it, what it is, on disk, and then the answer."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import uuid
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ValidationError

from relay import body, store
from relay.errors import Code, Problem
from relay.hub import Relay
from relay.protocol import DEFAULT_TTL_S, NAME, Command, explain
from relay.tasks import POLL_S, TaskView, Wait, json_response, prefer_wait, view, wait_until_final

COMMAND = "task_command"
SYNC_WAIT_S = 25.0
_ID_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_DELIVERY_ID = re.compile(r"[\x21-\x7e]{1,128}")


class Receipt(BaseModel):
    """The answer to a webhook that is no command: stored, and on its way to the machines."""

    status: str = "accepted"
    event: str
    delivery_id: str
    duplicate: bool


@dataclass(frozen=True)
class Post:
    """A webhook that was let in and read."""

    caller: str
    event: str
    payload: dict[str, Any]
    delivery_id: str

    @property
    def is_command(self) -> bool:
        # A GitHub signature proves where an event came from, not that somebody asked for something.
        return self.event == COMMAND


def routes(relay: Relay) -> APIRouter:
    """The webhook endpoint."""
    router = APIRouter(tags=["webhook"])

    @router.post(
        "/webhook",
        response_model=TaskView | Receipt,
        openapi_extra=_body(),
        responses={202: {"model": TaskView | Receipt}},
    )
    async def receive(
        request: Request,
        wait: Wait = None,
        _key: Annotated[
            str | None,
            Header(alias="Idempotency-Key", description="Makes a repeated request harmless."),
        ] = None,
    ) -> Response:
        """Accept a command or an event. A 202 or 200 means that it is on disk."""
        post = await _admit(relay, request)
        if not post.is_command:
            return await _accept_event(relay, post)
        command = _read_command(post.payload)
        if wait is None:
            wait = prefer_wait(request)
        if wait is None:
            wait = SYNC_WAIT_S if command.sync else 0
        return await _accept_command(relay, post, command, wait)

    return router


async def _admit(relay: Relay, request: Request) -> Post:
    """Key before body, signature before JSON: strangers cost as little as possible."""
    headers = request.headers
    signed = (
        "x-hub-signature-256" in headers and "x-api-key" not in headers and "authorization" not in headers
    )
    caller = "github" if signed else relay.doors.caller(headers)
    raw = await body.read(request)
    if signed:
        relay.doors.github(headers, raw)
    payload = body.parse(raw)
    event = f"github.{headers.get('x-github-event', 'event')}" if signed else payload.get("type", "webhook")
    if not isinstance(event, str) or not re.fullmatch(r"[\w.:-]{1,100}", event):
        raise Problem(Code.MALFORMED, "type must be a word of at most 100 characters", field="type")
    return Post(caller, event, payload, _delivery_id(request))


def _delivery_id(request: Request) -> str:
    for name in ("webhook-id", "x-github-delivery", "idempotency-key"):
        if value := request.headers.get(name):
            if not _DELIVERY_ID.fullmatch(value):
                raise Problem(Code.MALFORMED, f"{name} must be 1 to 128 visible ASCII characters", field=name)
            return value
    return uuid.uuid4().hex


def _read_command(payload: dict[str, Any]) -> Command:
    data = payload.get("data")
    if not isinstance(data, dict):
        raise Problem(
            Code.MALFORMED,
            'A task_command needs "data": {"action_type": "git", "params": {"command": ["git", "status"]}}',
            field="data",
        )
    if extra := sorted(payload.keys() - {"type", "data"}):
        raise Problem(
            Code.MALFORMED,
            f"{extra[0]!r} stands beside type and data; put it inside data",
            field=extra[0],
        )
    try:
        return Command.model_validate({"task_id": _new_task_id(data.get("action_type")), **data})
    except ValidationError as problem:
        first = problem.errors()[0]["loc"]
        field = ".".join(["data", *map(str, first)])
        raise Problem(Code.MALFORMED, f"The command is not valid: {explain(problem)}", field=field) from None


def _new_task_id(action_type: object) -> str:
    """Short enough to be read, rare enough not to repeat: `git-k7m2x9qp`."""
    # An odd action type is refused by its own name; an id made of it must not be what is complained of.
    word = action_type if isinstance(action_type, str) and re.fullmatch(NAME, action_type) else "task"
    return f"{word}-{''.join(secrets.choice(_ID_ALPHABET) for _ in range(8))}"


async def _accept_command(relay: Relay, post: Post, command: Command, wait: float) -> Response:
    machine = _choose_machine(relay, command)
    named = "task_id" in post.payload["data"]
    # What the caller decided: without our own id, and without how long they listened.
    asked = command.model_dump(exclude={"sync"} if named else {"sync", "task_id"})
    delivery = _new_delivery(
        relay,
        post,
        json.dumps({"type": COMMAND, "data": command.model_dump(mode="json", exclude={"sync"})}),
        asked,
        command.ttl,
    )
    task = store.NewTask(command.task_id, command.action_type, command.title, machine)
    try:
        task_id, duplicate = await relay.writer.run(store.accept_command, delivery, task)
    except store.Conflict as conflict:
        raise _conflict(conflict) from None
    relay.hub.wake(machine)
    shown = view(relay, await wait_until_final(relay, task_id, wait), duplicate=duplicate)
    headers = {"Location": f"/tasks/{task_id}"}
    if shown.status.is_final:
        return json_response(shown, 200, headers)
    return json_response(shown, 202, {**headers, "Retry-After": str(POLL_S)})


async def _accept_event(relay: Relay, post: Post) -> Response:
    delivery = _new_delivery(relay, post, json.dumps(post.payload), post.payload, DEFAULT_TTL_S)
    machines = relay.doors.machines.names()
    try:
        duplicate = await relay.writer.run(store.accept_event, delivery, machines)
    except store.Conflict as conflict:
        raise _conflict(conflict) from None
    for machine in machines:
        relay.hub.wake(machine)
    return json_response(Receipt(event=post.event, delivery_id=post.delivery_id, duplicate=duplicate), 202)


def _new_delivery(
    relay: Relay, post: Post, payload: str, asked: dict[str, Any], ttl: float
) -> store.NewDelivery:
    now = relay.now()
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    return store.NewDelivery(post.delivery_id, post.event, payload, digest, post.caller, now, now + ttl)


def _choose_machine(relay: Relay, command: Command) -> str:
    known = relay.doors.machines.names()
    if command.machine in known:
        return command.machine
    listed = ", ".join(known)
    if command.machine is not None:
        raise Problem(
            Code.MALFORMED,
            f"No machine {command.machine!r} is known; there is {listed}",
            field="data.machine",
        )
    if len(known) > 1:
        raise Problem(
            Code.MALFORMED,
            f"Several machines are known: {listed}; say which as machine",
            field="data.machine",
        )
    return known[0]


def _conflict(conflict: store.Conflict) -> Problem:
    return Problem(
        Code.CONFLICT,
        f"{conflict.what} {conflict.value!r} was used before with another body; "
        "send a new id for a new request, or the same body to ask about the old one",
    )


def _body() -> dict[str, object]:
    """The documented command for OpenAPI; any other JSON object is accepted as an event."""
    command = Command.model_json_schema()
    command["required"] = ["action_type"]
    example = {
        "type": COMMAND,
        "data": {"action_type": "git", "params": {"command": ["git", "status"]}},
    }
    schema = {
        "type": "object",
        "properties": {"type": {"type": "string", "examples": [COMMAND]}, "data": command},
        "examples": [example],
    }
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
