"""`PUT /tasks` and `PUT /tasks/{id}`: what machines report about their tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, ValidationError

from relay import body, openapi, store
from relay.errors import Code, Problem
from relay.hub import Relay
from relay.mistakes import explain
from relay.openapi import TaskIdInPath
from relay.protocol import MAX_REPORTS, Report
from relay.tasks import json_response

PATH = "/tasks"


class Refused(BaseModel):
    """A report that was not taken and never will be; the others beside it were."""

    task_id: str | None
    code: str
    detail: str


class Taken(BaseModel):
    """The answer to several reports. What is not refused is on disk."""

    refused: list[Refused]


class _Bundle(BaseModel):
    reports: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MAX_REPORTS)]  # Any: JSON


def routes(relay: Relay) -> APIRouter:
    """The endpoints, as they are described."""
    router = APIRouter(tags=["tasks"])
    router.add_api_route(
        PATH,
        endpoint(relay),
        methods=["PUT"],
        response_model=Taken,
        responses=openapi.problems(Code.TOO_LARGE),
        openapi_extra=openapi.body(_SEVERAL),
    )

    @router.put(
        "/tasks/{task_id}",
        status_code=HTTPStatus.NO_CONTENT,
        responses=openapi.problems(Code.NOT_FOUND, Code.TOO_LARGE),
        openapi_extra=openapi.body({"$ref": openapi.REF.format(model="Report")}),
    )
    async def put_report(request: Request, task_id: TaskIdInPath) -> Response:
        """A report from a machine; needs its machine key. Repeated or late reports change nothing."""
        machine = relay.doors.machine(request)
        report = _read_report(body.parse(await body.read(request)))
        if report.task_id != task_id:
            raise Problem(
                Code.MALFORMED,
                f"The path says {task_id!r} and the report {report.task_id!r}",
                field="task_id",
            )
        await _take(relay, machine, report)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    return router


def endpoint(relay: Relay) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint for several reports, as it runs."""

    async def put_reports(request: Request) -> Response:
        """Several reports from a machine, each taken or refused by itself; needs its machine key.
        Repeated or late reports change nothing."""
        machine = relay.doors.machine(request)
        try:
            bundle = _Bundle.model_validate(body.parse(await body.read(request)))
        except ValidationError as problem:
            raise Problem(Code.MALFORMED, f"These are no reports: {explain(problem)}") from None
        # Handed in at once, so they share a commit; each has its own savepoint there.
        verdicts = await asyncio.gather(*(_judge(relay, machine, one) for one in bundle.reports))
        return json_response(Taken(refused=[verdict for verdict in verdicts if verdict]))

    return put_reports


async def _judge(relay: Relay, machine: str, raw: dict[str, Any]) -> Refused | None:
    try:
        await _take(relay, machine, _read_report(raw))
    except Problem as problem:
        named = raw.get("task_id")
        task_id = named if isinstance(named, str) else None
        return Refused(task_id=task_id, code=problem.code.slug, detail=problem.detail)
    return None


async def _take(relay: Relay, machine: str, report: Report) -> None:
    if await relay.writer.run(store.put_report, machine, report) is None:
        raise Problem(Code.NOT_FOUND, f"No task {report.task_id!r} of {machine} is known here")
    relay.hub.tell(report.task_id)


def _read_report(raw: dict[str, Any]) -> Report:
    try:
        report = Report.model_validate(raw)
        # A time off the end of the UTC calendar would break every answer that shows it; kept as a number,
        # also the last microseconds before that end are behind it.
        for at in filter(None, (report.started_at, report.completed_at)):
            datetime.fromtimestamp(at.timestamp(), UTC)
    except ValidationError as problem:
        raise Problem(Code.MALFORMED, f"The report is not valid: {explain(problem)}") from None
    except (OverflowError, ValueError):
        raise Problem(Code.MALFORMED, "The report holds a time outside the years 1 to 9999") from None
    return report


_SEVERAL: dict[str, Any] = {
    "title": "Several reports",
    "type": "object",
    "properties": {
        "reports": {
            "type": "array",
            # An object, not a Report: what is no Report is refused by itself, not with the request.
            "items": {"type": "object", "description": "A Report, as for PUT /tasks/{task_id}."},
            "minItems": 1,
            "maxItems": MAX_REPORTS,
        }
    },
    "required": ["reports"],
}
