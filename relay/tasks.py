"""Tasks as callers see them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from relay import openapi, store
from relay.asked import asked_wait
from relay.errors import Code, Problem
from relay.hub import Relay
from relay.names import NAME
from relay.openapi import TaskIdInPath
from relay.protocol import Reason, Status
from relay.speech import last_seen, spoken, waiting
from relay.tables import Task

POLL_S = 10
"""What `Retry-After` and `next_step` advise."""

Waiting = Literal["offline", "no_worker", "busy", "approval", "queued"]


class TaskView(BaseModel):
    """A task as every answer shows it; always all fields."""

    task_id: str
    status: Status
    reason: Reason | None = Field(description="Why it failed; null otherwise.")
    error: str | None = Field(description="One sentence with the way out, when it failed.")
    action_type: str
    title: str | None
    machine: str
    machine_online: bool
    waiting_for: Waiting | None = Field(
        description="Why it has not been started: offline, no_worker, busy, approval or queued; "
        "null once it has."
    )
    attempt: int = Field(description="Grows by one with each 'run again'.")
    returncode: int | None
    summary: str = Field(description="At most 25 words, made to be read aloud.")
    output: str = Field(description="The end of what it printed, at most 20 000 characters.")
    truncated: bool = Field(description="Whether it printed more than `output` shows.")
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    completed_at: AwareDatetime | None
    next_step: str = Field(description="What an assistant should do now.")
    duplicate: bool = Field(default=False, description="Whether this very request came before.")


class TaskList(BaseModel):
    """The answer to `GET /tasks`."""

    tasks: list[TaskView]


BY_HTTP = f"Ask again with GET /tasks/{{task_id}}?wait=20 in {POLL_S} seconds."
"""How a caller asks for news; `{task_id}` is filled in."""


def view(relay: Relay, task: Task, *, duplicate: bool = False, again: str = BY_HTTP) -> TaskView:
    """What callers see of *task* at this moment. *again* tells them how to ask for news."""
    status = Status(task.status)
    online = relay.hub.is_online(task.machine)
    return TaskView(
        **{name: getattr(task, name) for name in _SAME},
        status=status,
        reason=_reason(task.reason),
        machine_online=online,
        waiting_for=_waiting_for(relay, status, task.machine),
        summary=_summary(relay, status, task, online=online),
        created_at=_utc(task.created_at),
        started_at=_utc(task.started_at),
        completed_at=_utc(task.completed_at),
        next_step=_next_step(relay, status, task, again.format(task_id=task.task_id)),
        duplicate=duplicate,
    )


def give(relay: Relay, task: Task, *, duplicate: bool = False, again: str = BY_HTTP) -> TaskView:
    """`view`, for somebody who asked for this very task. Its machine hears that a result was fetched."""
    if Status(task.status).is_final:
        relay.hub.give_out(task.machine, task.task_id, task.attempt)
    return view(relay, task, duplicate=duplicate, again=again)


_SAME = (
    "task_id", "error", "action_type", "title", "machine", "attempt", "returncode",
    "output", "truncated",
)  # fmt: skip


_REASONS = frozenset(Reason)


def _reason(stored: str | None) -> Reason | None:
    # A newer relay may have stored one that is not known here; its task can be read all the same.
    if stored is None:
        return None
    return Reason(stored) if stored in _REASONS else Reason.ERROR


def _waiting_for(relay: Relay, status: Status, machine: str) -> Waiting | None:
    if status is Status.AWAITING_APPROVAL:
        return "approval"
    if status is not Status.PENDING:
        return None
    session = relay.hub.session(machine)
    if session is None:
        return "offline"
    if not session.worker:
        return "no_worker"
    return "busy" if session.queued else "queued"


def _summary(relay: Relay, status: Status, task: Task, *, online: bool) -> str:
    """What is said of it now: an end is told once, and until then it matters who is there."""
    if status.is_final or (online and task.is_asking):
        return task.summary or spoken(status)
    machine = task.machine
    session = relay.hub.session(machine)
    busy = session is not None and session.queued > 0
    worker = session is None or session.worker
    silent_s = relay.hub.silence(machine)
    return waiting(status, machine, online=online, silent_s=silent_s, busy=busy, worker=worker)


def _utc(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _next_step(relay: Relay, status: Status, task: Task, again: str) -> str:
    machine = task.machine
    if status is Status.COMPLETED:
        return "Tell the user the summary; the output has the details."
    if status is Status.FAILED:
        return "Tell the user the summary and the error; do not send it again by yourself."
    if status is Status.CANCELLED:
        return "Tell the user that it was cancelled."
    if status is Status.AWAITING_APPROVAL:
        return f"Tell the user to approve it in the viewer on {machine}. {again}"
    if task.is_asking:
        return f"Tell the user to allow or deny it in the viewer on {machine}. {again}"
    if session := relay.hub.session(machine):
        return again if session.worker else f"Tell the user to start the worker on {machine}. {again}"
    then = "the task starts" if status is Status.PENDING else "news of the task comes"
    return f"{machine} is offline, {last_seen(relay.hub.silence(machine))}; {then} when it is back."


async def wait_until_final(relay: Relay, task_id: str, seconds: float) -> Task:
    """The task: when it is final, when *seconds* are over or when the relay stops. Raises Problem 404."""
    with relay.hub.watch(task_id) as news:
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            # Cleared before the look, so news that comes during the look is not slept over.
            news.clear()
            task = await relay.writer.run(store.get_task, task_id)
            if task is None:
                raise unknown_task(task_id)
            left = deadline - asyncio.get_running_loop().time()
            if Status(task.status).is_final or left <= 0 or relay.hub.is_stopping:
                return task
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await news.wait()


def unknown_task(task_id: str) -> Problem:
    """The problem when there is no such task."""
    return Problem(Code.NOT_FOUND, f"No task {task_id!r} is known here; GET /tasks lists them")


def routes(relay: Relay) -> APIRouter:
    """The endpoints under `/tasks`."""
    router = APIRouter(tags=["tasks"])

    @router.get(
        "/tasks/{task_id}",
        response_model=TaskView,
        responses=openapi.problems(Code.NOT_FOUND),
        openapi_extra={"parameters": [openapi.WAIT]},
    )
    async def get_task(request: Request, task_id: TaskIdInPath) -> Response:
        """State, summary and output tail of one task; `wait` holds until it is final."""
        relay.doors.caller(request)
        task = await wait_until_final(relay, task_id, asked_wait(request) or 0)
        return json_response(give(relay, task))

    @router.get("/tasks", response_model=TaskList, responses=openapi.problems())
    async def list_tasks(
        request: Request,
        status: Status | None = None,
        machine: Annotated[str | None, Query(pattern=NAME)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 20,
    ) -> Response:
        """The newest tasks, newest first."""
        relay.doors.caller(request)
        found = await relay.writer.run(store.list_tasks, status, machine, limit)
        # A list is looked through, but the newest one alone is asked for to be read aloud (SHORTCUTS).
        shown = give if limit == 1 else view
        return json_response(TaskList(tasks=[shown(relay, task) for task in found]))

    return router


def answer(relay: Relay, task: Task, *, duplicate: bool = False) -> Response:
    """What a request gets that changed something about *task*: 200 when that is final, else 202 with
    where to ask again, and when."""
    shown = give(relay, task, duplicate=duplicate)
    headers = {"Location": f"/tasks/{task.task_id}"}
    if shown.status.is_final:
        return json_response(shown, 200, headers)
    return json_response(shown, 202, {**headers, "Retry-After": str(POLL_S)})


def json_response(model: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """*model* as JSON without a second validation by the framework."""
    return Response(model.model_dump_json(), status, headers, media_type="application/json")
