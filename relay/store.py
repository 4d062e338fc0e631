"""What the relay remembers: deliveries to machines, and the last report of each task.

Plain functions on `relay.tables`, run by `relay.writer` inside a transaction. The machine's own
database is another file with another owner.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from relay.protocol import Reason, Report, Status
from relay.speech import spoken
from relay.tables import DELIVERED, REFUSED, WAITING, Delivery, Task


class Conflict(Exception):
    """The id was used before for something else. `what` is "task_id" or "delivery id"."""

    def __init__(self, what: str, value: str) -> None:
        super().__init__(f"{what} {value!r} was used before for something else")
        self.what = what
        self.value = value


@dataclass(frozen=True)
class NewDelivery:
    """A webhook that passed every check. `digest` covers what the caller sent, so that a
    repetition can be told from a different webhook under the same id."""

    delivery_id: str
    event: str
    payload: str
    digest: str
    caller: str
    accepted_at: float
    expires_at: float


@dataclass(frozen=True)
class NewTask:
    """The task that a delivery starts, when it carries a command."""

    task_id: str
    action_type: str
    title: str | None
    machine: str


def accept_command(delivery: NewDelivery, task: NewTask) -> tuple[str, bool]:
    """Store a command once. Returns its task id and whether it was there already.

    Raises Conflict when the delivery id or the task id was used for something else."""
    if seen := _seen(delivery):
        return str(seen.task_id), True
    known = Task.get_or_none(Task.task_id == task.task_id)
    if known is not None:
        if known.digest != delivery.digest:
            raise Conflict("task_id", task.task_id)
        return task.task_id, True
    Task.create(
        task_id=task.task_id,
        digest=delivery.digest,
        action_type=task.action_type,
        title=task.title,
        caller=delivery.caller,
        machine=task.machine,
        created_at=delivery.accepted_at,
    )
    Delivery.create(machine=task.machine, task_id=task.task_id, **vars(delivery))
    return task.task_id, False


def accept_event(delivery: NewDelivery, machines: Iterable[str]) -> bool:
    """Store an event once for every machine. Returns whether it was there already. Raises Conflict."""
    if _seen(delivery):
        return True
    for machine in machines:
        Delivery.create(machine=machine, **vars(delivery))
    return False


def _seen(delivery: NewDelivery) -> Delivery | None:
    seen = Delivery.get_or_none(Delivery.delivery_id == delivery.delivery_id)
    if seen is not None and seen.digest != delivery.digest:
        raise Conflict("delivery id", delivery.delivery_id)
    return seen


def next_deliveries(machine: str, *, skip: Collection[int], limit: int) -> list[Delivery]:
    """The oldest waiting deliveries for *machine* but those in *skip*; each counts as sent."""
    query = Delivery.select().where(_waiting(machine) & Delivery.seq.not_in(list(skip)))
    found: list[Delivery] = list(query.order_by(Delivery.seq).limit(limit))
    sent = Delivery.update(sends=Delivery.sends + 1)
    sent.where(Delivery.seq.in_([delivery.seq for delivery in found])).execute()
    return found


def _waiting(machine: str) -> Any:  # Any: peewee's expressions have no common type
    return (Delivery.machine == machine) & (Delivery.state == WAITING)


def count_waiting(machine: str) -> int:
    """How many deliveries *machine* has not acknowledged."""
    return Delivery.select().where(_waiting(machine)).count()


def acknowledge(machine: str, delivery_ids: Collection[str]) -> None:
    """The machine has these on its own disk: they are not sent again."""
    these = Delivery.delivery_id.in_(list(delivery_ids))
    Delivery.update(state=DELIVERED).where(_waiting(machine) & these).execute()


def refuse(machine: str, delivery_id: str, error: str, now: float) -> str | None:
    """The machine will never take this delivery: its task ends as rejected. Returns the task id."""
    delivery = Delivery.get_or_none(_waiting(machine) & (Delivery.delivery_id == delivery_id))
    if delivery is None:
        return None
    Delivery.update(state=REFUSED).where(Delivery.seq == delivery.seq).execute()
    Task.update(
        status=Status.FAILED,
        reason=Reason.REJECTED,
        error=error,
        summary=spoken(Status.FAILED, reason=Reason.REJECTED, error=error),
        completed_at=now,
    ).where((Task.task_id == delivery.task_id) & (Task.status == Status.PENDING)).execute()
    return delivery.task_id


def put_report(machine: str, report: Report) -> Task | None:
    """Apply a machine's news unless newer news is known. Returns the task, or None when the
    relay knows no such task of this machine."""
    task: Task | None = Task.get_or_none((Task.task_id == report.task_id) & (Task.machine == machine))
    # Both numbers only grow on the machine, so late news never undoes newer news.
    if task is None or (report.attempt, report.rev) <= (task.attempt, task.rev):
        return task
    for name in (
        "status",
        "reason",
        "error",
        "returncode",
        "output",
        "truncated",
        "attempt",
        "rev",
    ):
        setattr(task, name, getattr(report, name))
    task.started_at = report.started_at.timestamp() if report.started_at else None
    task.completed_at = report.completed_at.timestamp() if report.completed_at else None
    task.summary = spoken(
        report.status,
        reason=report.reason,
        error=report.error,
        headline=report.headline,
        seconds=task.completed_at - task.started_at if task.completed_at and task.started_at else None,
    )
    task.save()
    return task


def get_task(task_id: str) -> Task | None:
    """The task, or None."""
    return Task.get_or_none(Task.task_id == task_id)


def list_tasks(status: str | None, machine: str | None, limit: int) -> list[Task]:
    """The newest tasks first."""
    query = Task.select().order_by(Task.created_at.desc()).limit(limit)
    if status:
        query = query.where(Task.status == status)
    if machine:
        query = query.where(Task.machine == machine)
    return list(query)
