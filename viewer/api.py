"""The documented JSON: /api/tasks and /api/task/<id>."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort

from viewer import asked, records, shown
from worker import models

DEFAULT_LIMIT = 20
MAX_LIMIT = 200

api = Blueprint("api", __name__, url_prefix="/api")


@api.get("/tasks")
def tasks() -> dict[str, Any]:  # Any: JSON
    """The newest tasks, newest first."""
    limit = asked.number("limit", DEFAULT_LIMIT, least=1, most=MAX_LIMIT)
    return {"tasks": [shown.as_json(task) for task in records.whole(limit)]}


@api.get("/task/<task:task_id>")
def task(task_id: str) -> dict[str, Any]:  # Any: JSON
    """One task."""
    found = models.get(task_id)
    if found is None:
        abort(404, f"There is no task {task_id!r}")
    return shown.as_json(found)
