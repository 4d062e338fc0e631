"""`POST /webhook`: who sent it, what it is, on disk, and then the answer."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ValidationError

from relay import body, nearly, openapi, store
from relay.asked import asked_id, asked_wait
from relay.errors import Code, Problem, unknown_machine
from relay.hub import Relay
from relay.mistakes import explain
from relay.names import NAME
from relay.protocol import CANCEL, COMMAND, MAX_TTL_S, RETRY, Command
from relay.tables import Task
from relay.tasks import TaskView, answer, json_response, wait_until_final

PATH = "/webhook"
SYNC_WAIT_S = 25.0
RESERVED = {CANCEL: "/tasks/{id}/cancel", RETRY: "/tasks/{id}/retry"}
_ID_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_EVENT = re.compile(r"^[\w.:-]{1,100}$")
_SORTED = json.JSONEncoder(sort_keys=True)


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
        """Whether it asks for something to be done."""
        return self.event == COMMAND


def routes(relay: Relay) -> APIRouter:
    """The webhook endpoint, as it is described."""
    router = APIRouter(tags=["webhook"])
    router.add_api_route(
        PATH,
        endpoint(relay),
        methods=["POST"],
        response_model=TaskView | Receipt,
        openapi_extra={"parameters": [openapi.WAIT, openapi.IDEMPOTENCY_KEY], **openapi.body(_BODY)},
        responses={
            202: {"model": TaskView | Receipt},
            **openapi.problems(Code.CONFLICT, Code.TOO_LARGE),
        },
    )
    return router


def endpoint(relay: Relay) -> Callable[[Request], Awaitable[Response]]:
    """The webhook endpoint, as it runs."""

    async def receive(request: Request) -> Response:
        """Accept a command or an event. A 202 or 200 means that it is on disk."""
        post = await _admit(relay, request)
        # Also of an event, which has nothing to wait for: a slip that is refused here must be there.
        wait = asked_wait(request)
        if not post.is_command:
            return await _accept_event(relay, post)
        command = read_command(post.payload)
        if wait is None:
            wait = SYNC_WAIT_S if command.sync else 0
        return await _answer_command(relay, post, command, wait)

    return receive


async def _admit(relay: Relay, request: Request) -> Post:
    """Key before body, signature before JSON: strangers cost as little as possible."""
    headers = request.headers
    has_key = "x-api-key" in headers or "authorization" in headers
    by_github = "x-hub-signature-256" in headers and not has_key
    by_signature = "webhook-signature" in headers and not has_key and not by_github
    caller = "" if by_github or by_signature else relay.doors.caller(request)
    raw = await body.read(request)
    if by_github:
        caller = relay.doors.github(request, raw)
    elif by_signature:
        caller = relay.doors.signer(request, raw)
    payload = body.parse(raw)
    # A GitHub signature proves where an event came from, not that somebody asked for something.
    event = (
        f"github.{headers.get('x-github-event', 'event')}" if by_github else payload.get("type", "webhook")
    )
    if not isinstance(event, str) or not _EVENT.fullmatch(event):
        raise Problem(Code.MALFORMED, "type must be a word of at most 100 characters", field="type")
    if event in RESERVED:
        raise Problem(Code.MALFORMED, f"{event} is not for webhooks; POST to {RESERVED[event]}", field="type")
    is_by_key = not by_github and not by_signature
    if is_by_key and (meant := nearly.refusal(event, payload)):
        raise Problem(Code.MALFORMED, meant, field="type")
    # An id opens nothing without a key, and asking the system for randomness takes a tenth of a request.
    return Post(caller, event, payload, asked_id(request) or f"{random.getrandbits(128):032x}")


def read_command(payload: dict[str, Any]) -> Command:
    """The command in a webhook's body. Raises Problem 422 that says what is wrong with it."""
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
    return f"{word}-{''.join(random.choices(_ID_ALPHABET, k=8))}"  # noqa: S311 - see _admit


async def accept_command(relay: Relay, post: Post, command: Command) -> tuple[Task, bool]:
    """Put a command on disk and on its way. Returns its task, and whether it was there already.

    Raises Problem 422 when it is not clear which machine is meant, and 409 when one of its ids was
    used for something else."""
    machine = _choose_machine(relay, command)
    named = "task_id" in post.payload["data"]
    # What the caller decided: without our own id, and without how long they listened.
    asked = command.model_dump(exclude={"sync"} if named else {"sync", "task_id"})
    payload = f'{{"type": "{COMMAND}", "data": {command.model_dump_json(exclude={"sync"})}}}'
    delivery = _new_delivery(relay, post, payload, asked, command.ttl)
    task = store.NewTask(command.task_id, command.action_type, command.title, machine)
    try:
        stored, duplicate = await relay.writer.run(store.accept_command, delivery, task)
    except store.Conflict as conflict:
        raise _conflict(conflict) from None
    relay.hub.wake(machine)
    return stored, duplicate


async def _answer_command(relay: Relay, post: Post, command: Command, wait: float) -> Response:
    stored, duplicate = await accept_command(relay, post, command)
    if wait:
        stored = await wait_until_final(relay, stored.task_id, wait)
    return answer(relay, stored, duplicate=duplicate)


async def _accept_event(relay: Relay, post: Post) -> Response:
    delivery = _new_delivery(relay, post, json.dumps(post.payload), post.payload, MAX_TTL_S)
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
    now, steady = relay.now(), relay.steady()
    digest = hashlib.sha256(_SORTED.encode(asked).encode()).hexdigest()
    return store.NewDelivery(post.delivery_id, post.event, payload, digest, post.caller, now, steady + ttl)


def _choose_machine(relay: Relay, command: Command) -> str:
    known = relay.doors.machines.names()
    if command.machine in known:
        return command.machine
    if command.machine is not None:
        raise unknown_machine(command.machine, known, "data.machine")
    if len(known) > 1:
        raise Problem(
            Code.MALFORMED,
            f"Several machines are known: {', '.join(known)}; say which as machine",
            field="data.machine",
        )
    return known[0]


def _conflict(conflict: store.Conflict) -> Problem:
    return Problem(
        Code.CONFLICT,
        f"{conflict.what} {conflict.value!r} was used before with another body; "
        "send a new id for a new request, or the same body to ask about the old one",
    )


_AS_COMMAND: dict[str, Any] = {
    "title": "A command",
    "type": "object",
    "properties": {"type": {"const": COMMAND}, "data": {"$ref": openapi.REF.format(model="Command")}},
    "required": ["type", "data"],
    "additionalProperties": False,
}
_AS_EVENT: dict[str, Any] = {
    "title": "An event: any other JSON object",
    "type": "object",
    "properties": {
        "type": {"type": "string", "pattern": _EVENT.pattern, "not": {"enum": [COMMAND, *RESERVED]}}
    },
}
_EXAMPLE = {"type": COMMAND, "data": {"action_type": "git", "params": {"command": ["git", "status"]}}}
_BODY: dict[str, Any] = {"anyOf": [_AS_COMMAND, _AS_EVENT], "examples": [_EXAMPLE]}
