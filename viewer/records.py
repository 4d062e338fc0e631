"""What the pages ask the records: every query of the viewer, each bounded."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any, BinaryIO

from relay.protocol import FINAL, Status
from worker import models

NOW = (Status.AWAITING_APPROVAL, Status.RUNNING, Status.PENDING)
"""Not ended yet: what the list shows first, in this order."""


def waiting(limit: int) -> list[models.Task]:
    """Tasks that have not ended: by state as in NOW, then newest first; *limit* of each state."""
    return [task for status in NOW for task in newest(limit, status=status)]


def newest(limit: int, *, status: Status | None = None, before: int | None = None) -> list[models.Task]:
    """Tasks, newest first: with this status or any, and made earlier than the one with seq *before*."""
    found = models.Task.select()
    if status is not None:
        found = found.where(models.Task.status == status)
    return _page(found, before, limit)


def ended(limit: int, *, before: int | None = None) -> list[models.Task]:
    """Tasks that have ended, newest first."""
    # "Not waiting" instead of "one of the final three", so that SQLite walks the rows from the
    # newest and stops at the limit, instead of sorting all that ended.
    return _page(models.Task.select().where(models.Task.status.not_in(NOW)), before, limit)


def counts() -> dict[Status, int]:
    """How many tasks are in each status."""
    return {
        status: models.Task.select().where(models.Task.status == status).count() for status in Status
    }  # six look-ups in an index; grouping would need peewee's functions, which live in worker.models


def attempts_before(task: models.Task) -> list[models.Attempt]:
    """The attempts that *task* replaced, newest first."""
    found = models.Attempt.select().where(models.Attempt.task_id == task.id)
    return list(found.order_by(models.Attempt.attempt.desc()))


def attempt_of(task: models.Task, number: int) -> models.Task | models.Attempt | None:
    """The attempt with this number, whether it is the latest or an earlier one."""
    if number == task.attempt:
        return task
    same = (models.Attempt.task_id == task.id) & (models.Attempt.attempt == number)
    found: models.Attempt | None = models.Attempt.get_or_none(same)
    return found


def events(limit: int, *, before: int | None = None) -> list[models.Event]:
    """Events, newest first, received earlier than the one with id *before*."""
    found = models.Event.select()
    if before is not None:
        found = found.where(models.Event.id < before)
    return list(found.order_by(models.Event.id.desc()).limit(limit))


def event(number: int) -> models.Event | None:
    """One event by its id, or None."""
    found: models.Event | None = models.Event.get_or_none(models.Event.id == number)
    return found


def holder(task: models.Task) -> models.Task | None:
    """The task that runs in the repository for which *task* waits; None when nothing holds it up."""
    if task.lane is None or task.status != Status.PENDING:
        return None
    same = (models.Task.lane == task.lane) & (models.Task.status == Status.RUNNING)
    found: models.Task | None = models.Task.get_or_none(same)
    return found


def result(row: models.Task | models.Attempt) -> Mapping[str, Any]:  # Any: JSON
    """`output_data` of an attempt; empty when there is none."""
    found = read_json(row.output_data)
    return found if isinstance(found, dict) else {}


def read_json(text: str | None) -> Any:  # Any: JSON
    """What *text* holds; None for None, and the text itself when it is no JSON."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def open_output(task: models.Task, row: models.Task | models.Attempt) -> BinaryIO:
    """What an attempt printed, to read and seek in; empty when it printed nothing.

    Without a log (an action may keep none, and it may have been tidied away) it is what the
    record kept of both streams."""
    try:
        return models.output_path(task, row.attempt).open("rb")
    except FileNotFoundError:
        kept = result(row)
        text = "\n".join(str(kept[name]) for name in ("stdout", "stderr") if kept.get(name))
        return io.BytesIO(text.encode("utf-8", "replace"))


def is_ended(status: str) -> bool:
    """Whether nothing more comes of an attempt with this status."""
    return status in FINAL


def _page(
    found: Any, before: int | None, limit: int
) -> list[models.Task]:  # Any: peewee's queries have no type
    if before is not None:
        found = found.where(models.Task.seq < before)
    return list(found.order_by(models.Task.seq.desc()).limit(limit))
