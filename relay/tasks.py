"""Tasks as callers see them, and the reports that machines put."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from relay import body, store
from relay.errors import Code, Problem
from relay.hub import Relay
from relay.protocol import NAME, TASK_ID, Report, Status, explain
from relay.speech import spoken
from relay.tables import Task

MAX_WAIT_S = 45.0
"""Longest time a caller may hold an answer open; voice assistants give up after that."""
POLL_S = 10
"""What `Retry-After` and `next_step` advise."""

Wait = Annotated[
    float | None,
    Query(ge=0, le=MAX_WAIT_S, description="Seconds to hold the answer for the result, 0 to 45."),
]


class TaskView(BaseModel):
    """A task as every answer shows it; always all fields."""

    task_id: str
    status: Status
    reason: str | None = Field(description="Why it failed, from a closed list; null otherwise.")
    error: str | None = Field(description="One sentence with the way out, when it failed.")
    action_type: str
    title: str | None
    machine: str
    machine_online: bool
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


def view(relay: Relay, task: Task, *, duplicate: bool = False) -> TaskView:
    """What callers see of *task* at this moment."""
    status = Status(task.status)
    online = relay.hub.is_online(task.machine)
    return TaskView(
        **{name: getattr(task, name) for name in _SAME},
        status=status,
        machine_online=online,
        summary=task.summary or spoken(status),
        created_at=_utc(task.created_at),
        started_at=_utc(task.started_at),
        completed_at=_utc(task.completed_at),
        next_step=_next_step(status, task.task_id, task.machine, online=online),
        duplicate=duplicate,
    )


_SAME = (
    "task_id", "reason", "error", "action_type", "title", "machine", "attempt", "returncode",
    "output", "truncated",
)  # fmt: skip


def _utc(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _next_step(status: Status, task_id: str, machine: str, *, online: bool) -> str:
    again = f"Ask again with GET /tasks/{task_id}?wait=20 in {POLL_S} seconds."
    if status is Status.COMPLETED:
        return "Tell the user the summary; the output has the details."
    if status is Status.FAILED:
        return "Tell the user the summary and the error; do not send it again by yourself."
    if status is Status.CANCELLED:
        return "Tell the user that it was cancelled."
    if status is Status.AWAITING_APPROVAL:
        return f"Tell the user to approve it in the viewer on {machine}. {again}"
    if not online:
        return f"{machine} is offline; the task starts when it is back. Ask again later."
    return again


async def wait_until_final(relay: Relay, task_id: str, seconds: float) -> Task:
    """The task, as soon as it is final or when *seconds* are over. Raises Problem 404."""
    with relay.hub.watch(task_id) as news:
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            # Cleared before the look, so news that comes during the look is not slept over.
            news.clear()
            task = await relay.writer.run(store.get_task, task_id)
            if task is None:
                raise Problem(Code.NOT_FOUND, f"No task {task_id!r} is known here; GET /tasks lists them")
            left = deadline - asyncio.get_running_loop().time()
            if Status(task.status).is_final or left <= 0:
                return task
            try:
                await asyncio.wait_for(news.wait(), left)
            except TimeoutError:
                continue


def prefer_wait(request: Request) -> float | None:
    """Seconds from `Prefer: wait=N` (RFC 7240), or None; more than 45 counts as 45."""
    found = re.search(r"(?:^|[,;\s])wait\s*=\s*(\d{1,6})", request.headers.get("prefer", ""))
    return min(float(found[1]), MAX_WAIT_S) if found else None


def routes(relay: Relay) -> APIRouter:
    """The endpoints under `/tasks`."""
    router = APIRouter(tags=["tasks"])

    @router.get("/tasks/{task_id}", response_model=TaskView)
    async def get_task(request: Request, task_id: str, wait: Wait = None) -> Response:
        """State, summary and output tail of one task; `wait` holds until it is final."""
        relay.doors.caller(request.headers)
        seconds = wait if wait is not None else prefer_wait(request) or 0
        task = await wait_until_final(relay, task_id, seconds)
        return json_response(view(relay, task))

    @router.get("/tasks", response_model=TaskList)
    async def list_tasks(
        request: Request,
        status: Status | None = None,
        machine: Annotated[str | None, Query(pattern=NAME)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 20,
    ) -> Response:
        """The newest tasks, newest first."""
        relay.doors.caller(request.headers)
        found = await relay.writer.run(store.list_tasks, status, machine, limit)
        return json_response(TaskList(tasks=[view(relay, task) for task in found]))

    @router.put("/tasks/{task_id}", status_code=HTTPStatus.NO_CONTENT, openapi_extra=_report_body())
    async def put_report(request: Request, task_id: str) -> Response:
        """A report from a machine; needs its machine key. Repeated or late reports change nothing."""
        machine = relay.doors.machine(request.headers)
        report = _read_report(await body.read(request))
        if report.task_id != task_id:
            raise Problem(
                Code.MALFORMED,
                f"The path says {task_id!r} and the report {report.task_id!r}",
                field="task_id",
            )
        task = await relay.writer.run(store.put_report, machine, report)
        if task is None:
            raise Problem(Code.NOT_FOUND, f"No task {task_id!r} of {machine} is known here")
        relay.hub.tell(task_id)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    return router


def json_response(model: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """*model* as JSON without a second validation by the framework."""
    return Response(model.model_dump_json(), status, headers, media_type="application/json")


def _read_report(raw: bytes) -> Report:
    try:
        report = Report.model_validate(body.parse(raw))
        # A time off the end of the UTC calendar would break every answer that shows it.
        _ = [at.astimezone(UTC) for at in (report.started_at, report.completed_at) if at]
    except ValidationError as problem:
        raise Problem(Code.MALFORMED, f"The report is not valid: {explain(problem)}") from None
    except OverflowError:
        raise Problem(Code.MALFORMED, "The report holds a time outside the years 1 to 9999") from None
    return report


def _report_body() -> dict[str, object]:
    return {
        "parameters": [
            {
                "name": "task_id",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "pattern": TASK_ID},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": Report.model_json_schema()}},
        },
    }
