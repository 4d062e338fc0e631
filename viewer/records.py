"""What the pages ask the records: every query of the viewer, each bounded."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from relay.protocol import FINAL, Reason, Status
from worker import models
from worker.inbox import DECLINED

NOW = (Status.AWAITING_APPROVAL, Status.RUNNING, Status.PENDING)
"""Not ended yet: what the list shows first, in this order."""
ENDED = (Status.FAILED, Status.COMPLETED, Status.CANCELLED)
MAX_SEQ = 2**62


def newest(
    limit: int,
    statuses: Collection[Status] = tuple(Status),
    *,
    action: str | None = None,
    before: int | None = None,
) -> list[int]:
    """The `seq` of tasks, newest first: shown in one of *statuses*, of *action* or any, and made
    earlier than the one with seq *before*."""
    found: list[int] = []
    # One look-up for each of them: an index has them in order, so that none is read beyond the limit.
    for which in (which for status in statuses for which in _shown_in(status)):
        of, values = ("", ()) if action is None else ("action_type = ? AND ", (action,))
        found += _column(
            f"SELECT seq FROM tasks WHERE {of}{which} AND seq < ? ORDER BY seq DESC LIMIT ?",  # noqa: S608 - our own words
            *values, MAX_SEQ if before is None else before, limit,
        )  # fmt: skip
    return sorted(found, reverse=True)[:limit]


def cards(seqs: Sequence[int]) -> list[models.Task]:
    """The tasks with these *seqs*, in this order, without what a list does not show: parameters,
    and of the result all but headline and exit status. A task that is gone is left out."""
    rows = models.Task.run(f"{_LIGHT} WHERE seq IN ({models.placeholders(seqs)})", *seqs)
    found = {task.seq: task for task in rows}
    return [found[seq] for seq in seqs if seq in found]


def is_declined(reason: str | None, error: str | None) -> bool:
    """Whether an attempt failed with these because its owner said no."""
    return reason == Reason.REJECTED and error == DECLINED


def whole(limit: int) -> list[models.Task]:
    """The newest tasks with everything that is known about them."""
    return models.Task.run("SELECT * FROM tasks ORDER BY seq DESC LIMIT ?", limit)


def counts() -> Mapping[tuple[str, str], int]:
    """How many tasks there are of each action, shown in each status; one walk along an index."""
    text = "SELECT action_type, status, count(*) FROM tasks GROUP BY action_type, status"
    found = Counter({(action, status): number for action, status, number in rows(text)})
    for (action,) in rows(f"SELECT action_type FROM tasks WHERE {_RUNS_AND_ASKS}"):  # noqa: S608 - our own words
        found[action, Status.RUNNING.value] -= 1
        found[action, Status.AWAITING_APPROVAL.value] += 1
    return found


@dataclass(frozen=True)
class Changed:
    """What there is to search in of a task."""

    seq: int
    rev: int
    status: str
    action_type: str
    title: str | None
    preview: str
    error: str | None
    headline: str | None
    answer: str | None
    printed: str | None


def changed_after(rev: int, limit: int) -> list[Changed]:
    """Tasks that have changed since *rev*, oldest change first; of what is long only a part."""
    return [Changed(*row) for row in rows(_CHANGED, rev, limit)]


def all_seqs() -> set[int]:
    """Which tasks there are."""
    return set(_column("SELECT seq FROM tasks"))


def oldest_end() -> str | None:
    """When the first of the tasks that are still here ended, as the records write it; None when none has."""
    found: str | None = rows("SELECT min(completed_at) FROM tasks")[0][0]
    return found


def origin() -> str:
    """Tells these records from others under the same name: no two were begun at the same instant. Empty where
    the system tells no such instant (`worker.clock`)."""
    found = rows("SELECT origin FROM boots ORDER BY rowid LIMIT 1")
    return str(found[0][0]) if found else ""


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


def _in_result(name: str) -> str:
    """One value of the result, as SQL."""
    return f"CASE WHEN json_valid(output_data) THEN json_extract(output_data, '$.{name}') END"


# A running task that asks its owner is shown as what it is for him: something that needs his OK.
_ASKS = """EXISTS (SELECT 1 FROM questions AS asked WHERE asked.task_id = tasks.id
AND asked.attempt = tasks.attempt AND asked.answer IS NULL)"""
_RUNS_AND_ASKS = f"status = 'running' AND {_ASKS}"


def _shown_in(status: Status) -> tuple[str, ...]:
    """Which tasks are shown as *status*, as SQL; several where one index has not all of them."""
    itself = f"status = '{status.value}'"
    if status is Status.RUNNING:
        return (f"{itself} AND NOT {_ASKS}",)
    return (itself, _RUNS_AND_ASKS) if status is Status.AWAITING_APPROVAL else (itself,)


_SMALL = {
    "input_data": "'{}'",
    "output_data": f"json_object('headline', {_in_result('headline')})",
}
# A row may hold 200 KB of output; a list of them must not.
_LIGHT = f"SELECT {', '.join(_SMALL.get(name, name) for name in models.COLUMNS)} FROM tasks"  # noqa: S608 - our own words
_CHANGED = f"""SELECT seq, rev, CASE WHEN {_RUNS_AND_ASKS} THEN 'awaiting_approval' ELSE status END,
action_type, title, substr(preview, 1, 2000), error,
{_in_result("headline")}, substr({_in_result("answer")}, 1, 1000),
coalesce(substr({_in_result("stdout")}, -1000), '') || ' ' ||
coalesce(substr({_in_result("stderr")}, -500), '')
FROM tasks WHERE rev > ? ORDER BY rev LIMIT ?"""  # noqa: S608 - our own words


def rows(text: str, *values: object) -> list[Any]:  # Any: whatever the columns hold
    """What the records answer to *text*, SQL with a `?` for each of *values*."""
    return models.database.execute_sql(text, values).fetchall()  # type: ignore[no-untyped-call,no-any-return]  # peewee's stubs lack it


def _column(text: str, *values: object) -> list[int]:
    return [row[0] for row in rows(text, *values)]
