"""What the relay remembers: deliveries to machines, and the last report of each task.

Plain functions on `relay.tables`, run by `relay.writer` inside a transaction. How deliveries end
without the machine's yes stands in `relay.endings`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass

from pydantic import ValidationError

from relay.announced import Announced
from relay.protocol import COMMAND, Report, Status
from relay.settings import GITHUB
from relay.speech import spoken
from relay.tables import Announcement, Delivery, Machine, Task, placeholders

DAY_S = 86_400.0


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


def accept_command(delivery: NewDelivery, task: NewTask) -> tuple[Task, bool]:
    """Store a command once. Returns its task and whether it was there already.

    Raises Conflict when the delivery id or the task id was used for something else."""
    if seen := _seen(delivery):
        return _known(seen.task_id or "", delivery, Conflict("delivery id", delivery.delivery_id)), True
    created = Task(
        task_id=task.task_id,
        digest=delivery.digest,
        action_type=task.action_type,
        title=task.title,
        caller=delivery.caller,
        machine=task.machine,
        created_at=delivery.accepted_at,
    )
    # Asked by inserting: nearly every id is new, and a look first would be for nothing.
    if not created.add(unless="task_id"):
        return _known(task.task_id, delivery, Conflict("task_id", task.task_id)), True
    add(delivery, task.machine, task.task_id)
    return created, False


def _known(task_id: str, delivery: NewDelivery, otherwise: Conflict) -> Task:
    """The task that was made by the same request before. Raises *otherwise* when it was another one."""
    known = get_task(task_id)
    if known is None or known.digest != delivery.digest:
        raise otherwise
    return known


def accept_event(delivery: NewDelivery, machines: Iterable[str]) -> bool:
    """Store an event once for every machine. Returns whether it was there already. Raises Conflict."""
    if seen := _seen(delivery):
        if seen.task_id is not None:
            raise Conflict("delivery id", delivery.delivery_id)
        return True
    for machine in machines:
        add(delivery, machine, None)
    return False


def add(delivery: NewDelivery, machine: str, task_id: str | None) -> None:
    """Put *delivery* on its way to *machine*."""
    size = len(delivery.payload.encode())
    Delivery.put({"machine": machine, "task_id": task_id, "size": size, **vars(delivery)})


def _seen(delivery: NewDelivery) -> Delivery | None:
    found = Delivery.find("delivery_id = ? LIMIT 1", delivery.delivery_id)
    if found and found[0].digest != delivery.digest:
        raise Conflict("delivery id", delivery.delivery_id)
    if not found and delivery.caller == GITHUB:
        # GitHub signs neither time nor id, so a captured request can come back under a new id.
        recent = delivery.accepted_at - DAY_S
        same = f"digest = ? AND caller = '{GITHUB}' AND accepted_at > ? LIMIT 1"
        found = Delivery.find(same, delivery.digest, recent)
    return found[0] if found else None


def waiting(machine: str, *, skip: Collection[int], limit: int) -> list[tuple[int, int]]:
    """`(seq, bytes)` of the oldest deliveries that wait for *machine*, but those in *skip*."""
    which = f"machine = ? AND state = 'waiting' AND seq NOT IN ({placeholders(skip)}) ORDER BY seq LIMIT ?"
    return Delivery.pick("seq, size", which, machine, *skip, limit)


def load(seqs: Collection[int]) -> list[Delivery]:
    """These deliveries, to be sent now: each counts as sent, on disk before it leaves. What was taken
    back meanwhile is left out; what does not leave after all is for `not_sent`."""
    these = f"seq IN ({placeholders(seqs)}) AND state = 'waiting'"
    found = Delivery.find(f"{these} ORDER BY seq", *seqs)
    first = "SELECT caller FROM tasks WHERE tasks.task_id = deliveries.task_id AND event = ?"
    callers = dict(Delivery.pick(f"seq, ({first})", these, COMMAND, *seqs))
    for one in found:
        one.first_caller = callers[one.seq] if callers[one.seq] != one.caller else None
    Delivery.change("sends = sends + 1", these, *seqs)
    return found


def not_sent(seqs: Collection[int]) -> None:
    """These were loaded, and did not leave."""
    Delivery.change("sends = max(0, sends - 1)", f"seq IN ({placeholders(seqs)})", *seqs)


def count_waiting(machine: str) -> int:
    """How many deliveries *machine* has not acknowledged."""
    ((count,),) = Delivery.pick("count(*)", "machine = ? AND state = 'waiting'", machine)
    return int(count)


def acknowledge(machine: str, delivery_ids: Collection[str]) -> None:
    """The machine has these on its own disk: they are not sent again."""
    these = f"delivery_id IN ({placeholders(delivery_ids)}) AND machine = ? AND state = 'waiting'"
    Delivery.change("state = 'delivered'", these, *delivery_ids, machine)


def seen(machine: str, version: str, now: float) -> None:
    """*machine* was heard at *now*."""
    Machine.insert(name=machine, version=version, seen_at=now).on_conflict_replace().execute()


def last_seen() -> dict[str, Machine]:
    """Every machine that was ever connected, by name."""
    return {machine.name: machine for machine in Machine.select()}


def announce(machine: str, told: Announced) -> None:
    """Remember what *machine* says about itself, instead of what it said before."""
    Announcement.insert(machine=machine, told=told.model_dump_json()).on_conflict_replace().execute()


def announced() -> dict[str, Announced]:
    """What each machine last said about itself, as far as this relay can read it."""
    found = {}
    for one in Announcement.select():
        # What another version wrote must not keep the relay from starting; the machine says it anew.
        with suppress(ValidationError):
            found[one.machine] = Announced.model_validate_json(one.told)
    return found


def put_report(machine: str, report: Report) -> Task | None:
    """Apply a machine's news unless newer news is known. Returns the task, or None when the
    relay knows no such task of this machine."""
    task = get_task(report.task_id)
    if task is None or task.machine != machine:
        return None
    # Both numbers only grow on the machine, so late news never undoes newer news.
    if (report.attempt, report.rev) <= (task.attempt, task.rev):
        return task
    for name in ("status", "reason", "error", "returncode", "output", "truncated", "attempt", "rev"):
        setattr(task, name, getattr(report, name))
    task.started_at = report.started_at.timestamp() if report.started_at else None
    task.completed_at = report.completed_at.timestamp() if report.completed_at else None
    task.summary = _summary(task, report)
    task.rewrite()
    return task


def _summary(task: Task, report: Report) -> str | None:
    """What the end says, or the question that a running task has for its owner. Of all others that is said
    which fits who is there when somebody asks."""
    if not report.status.is_final and not (report.status is Status.RUNNING and report.headline):
        return None
    return spoken(
        report.status,
        reason=report.reason,
        error=report.error,
        headline=report.headline,
        seconds=task.completed_at - task.started_at if task.completed_at and task.started_at else None,
    )


def get_task(task_id: str) -> Task | None:
    """The task, or None."""
    found = Task.find("task_id = ?", task_id)
    return found[0] if found else None


def list_tasks(status: str | None, machine: str | None, limit: int) -> list[Task]:
    """The newest tasks first."""
    query = Task.select().order_by(Task.created_at.desc()).limit(limit)
    if status:
        query = query.where(Task.status == status)
    if machine:
        query = query.where(Task.machine == machine)
    return list(query)
