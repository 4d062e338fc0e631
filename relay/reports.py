"""`PUT /tasks/{id}`: what machines report about their tasks."""

from __future__ import annotations

from datetime import UTC
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from relay import body, openapi, store
from relay.errors import Code, Problem
from relay.hub import Relay
from relay.openapi import TaskIdInPath
from relay.protocol import Report, explain


def routes(relay: Relay) -> APIRouter:
    """The endpoint."""
    router = APIRouter(tags=["tasks"])

    @router.put(
        "/tasks/{task_id}",
        status_code=HTTPStatus.NO_CONTENT,
        responses=openapi.problems(Code.NOT_FOUND, Code.TOO_LARGE),
        openapi_extra=openapi.body({"$ref": openapi.REF.format(model="Report")}),
    )
    async def put_report(request: Request, task_id: TaskIdInPath) -> Response:
        """A report from a machine; needs its machine key. Repeated or late reports change nothing."""
        machine = relay.doors.machine(request)
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
