"""`POST /tasks/{id}/cancel` and `/retry`: orders about a task, which travel like commands."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

from fastapi import APIRouter, Request, Response

from relay import openapi, orders
from relay.asked import asked_id, asked_wait
from relay.errors import Code, Problem
from relay.hub import Relay
from relay.openapi import TaskIdInPath
from relay.protocol import CANCEL, DEFAULT_TTL_S, MAX_TTL_S, RETRY
from relay.store import NewDelivery, get_task, not_sent
from relay.tables import Delivery, Task
from relay.tasks import TaskView, answer, unknown_task, wait_until_final


def routes(relay: Relay) -> APIRouter:
    """The two endpoints."""
    router = APIRouter(tags=["tasks"])
    described: dict[str, Any] = {  # Any: keywords of FastAPI's
        "response_model": TaskView,
        "status_code": 202,
        "responses": {
            200: {"model": TaskView},
            **openapi.problems(Code.NOT_FOUND, Code.CONFLICT),
        },
        "openapi_extra": {"parameters": [openapi.WAIT, openapi.IDEMPOTENCY_KEY]},
    }

    @router.post("/tasks/{task_id}/cancel", **described)
    async def cancel(request: Request, task_id: TaskIdInPath) -> Response:
        """Stop a task that waits or runs. What the machine has not got yet is cancelled at once."""
        return await _order(relay, request, task_id, CANCEL)

    @router.post("/tasks/{task_id}/retry", **described)
    async def retry(request: Request, task_id: TaskIdInPath) -> Response:
        """Run a failed or cancelled task again, as its next attempt."""
        return await _order(relay, request, task_id, RETRY)

    return router


async def give_order(
    relay: Relay, task_id: str, order: str, caller: str, delivery_id: str | None = None
) -> None:
    """Put the order to stop a task or to run it again (CANCEL, RETRY) on disk and on its way, once for
    each *delivery_id* that is given.

    Raises Problem 404 for an unknown task, 409 for one that is not where the order could help."""
    # What was about to be sent and has not left can still be stopped here.
    if unsent := relay.hub.take_back(task_id):
        # By itself: what is refused below takes back what it has written, and this has happened.
        await relay.writer.run(not_sent, unsent)
    task = await relay.writer.run(_apply, relay, task_id, order, caller, delivery_id)
    relay.hub.tell(task_id)
    relay.hub.wake(task.machine)


async def _order(relay: Relay, request: Request, task_id: str, order: str) -> Response:
    caller, wait = relay.doors.caller(request), asked_wait(request)
    await give_order(relay, task_id, order, caller, asked_id(request))
    return answer(relay, await wait_until_final(relay, task_id, wait or 0))


def _apply(relay: Relay, task_id: str, order: str, caller: str, delivery_id: str | None) -> Task:
    """On the writer's thread: decide and record in one transaction."""
    task = get_task(task_id)
    if task is None:
        raise unknown_task(task_id)
    if delivery_id and _is_repeated(task_id, order, delivery_id):
        return task
    now = relay.now()
    attempt = orders.attempt_of_retry(task) if order == RETRY else task.attempt
    payload = json.dumps({"type": order, "data": {"task_id": task_id, "attempt": attempt}})
    digest = hashlib.sha256(payload.encode()).hexdigest()
    # An order to stop must outlive the command, wherever that waits.
    expires = relay.steady() + (MAX_TTL_S if order == CANCEL else DEFAULT_TTL_S)
    delivery = NewDelivery(delivery_id or uuid.uuid4().hex, order, payload, digest, caller, now, expires)
    try:
        task = orders.cancel(task, delivery) if order == CANCEL else orders.retry(task, delivery)
    except orders.TooLate as problem:
        raise Problem(Code.CONFLICT, str(problem)) from None
    if delivery_id:
        orders.remember(delivery, task)
    return task


def _is_repeated(task_id: str, order: str, delivery_id: str) -> bool:
    seen = Delivery.pick("event, task_id", "delivery_id = ? LIMIT 1", delivery_id)
    if seen and seen[0] != (order, task_id):
        raise Problem(Code.CONFLICT, f"The id {delivery_id!r} was used for something else; take a new one")
    return bool(seen)
