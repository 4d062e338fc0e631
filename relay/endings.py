"""How deliveries end without the machine's yes: refused, given up, expired; and what is forgotten.

Plain functions on `relay.tables`, run by `relay.writer` inside a transaction."""

from __future__ import annotations

from collections.abc import Collection

from relay.protocol import CANCEL, Reason, Status
from relay.speech import spoken
from relay.tables import Delivery, Task, placeholders

MAX_SENDS = 10
"""A delivery that was passed over in so many sessions is not sent again."""
SENT_GRACE_S = 60.0
FORGET_BATCH = 500

TIRED = f"The machine did not answer it in {MAX_SENDS} sessions in which it was well; look at its listener"
TOO_LARGE = "It is larger than the machine's listener takes; send less"
GONE = (
    "Its machine has no key at this relay any more, so nobody tells how it ended; "
    "was it renamed? Look at MACHINE_KEY"
)
_OPEN = tuple(status for status in Status if not status.is_final)
LATE = "The machine did not take it in time; say it again if it is still wanted"


def refuse(machine: str, delivery_id: str, error: str, now: float) -> list[str]:
    """The machine will never take this delivery. Returns the ids of tasks that ended by it."""
    # Whatever has not ended: a machine that refuses to stop a task, as it knows no such task, has lost it.
    which = "machine = ? AND delivery_id = ?"
    return _drop(which, machine, delivery_id, reason=Reason.REJECTED, error=error, now=now, of=_OPEN)


def give_up(machine: str, delivery_ids: Collection[str], now: float) -> list[str]:
    """Drop these, which *machine* passed over in MAX_SENDS sessions; for the beginning of a session,
    while nothing is on its way. Returns the ids of tasks that ended by it."""
    which, why = f"machine = ? AND delivery_id IN ({placeholders(delivery_ids)})", Reason.UNDELIVERABLE
    return _drop(which, machine, *delivery_ids, reason=why, error=TIRED, now=now)


def drop_large(machine: str, most_bytes: int, now: float) -> list[str]:
    """Drop what waits for *machine* with a payload of more than *most_bytes*. Returns as above."""
    which, why = "machine = ? AND size > ?", Reason.UNDELIVERABLE
    return _drop(which, machine, most_bytes, reason=why, error=TOO_LARGE, now=now)


def expire(steady: float, now: float) -> list[str]:
    """Drop what was not taken in time by *steady*, the clock that deadlines are made on. Returns
    the ids of tasks that ended by it.

    What has been sent gets another minute: its machine may have it already, and knows best."""
    late = "(sends = 0 AND expires_at <= ? OR expires_at <= ?)"
    return _drop(late, steady, steady - SENT_GRACE_S, reason=Reason.EXPIRED, error=LATE, now=now)


def abandon(machines: Collection[str], now: float) -> list[str]:
    """End what was for machines that are none of these, which have a key. Returns the ids of tasks that
    ended by it. Should the machine get its key back and report, its word counts."""
    strange = f"machine NOT IN ({placeholders(machines)})"
    Delivery.change("state = 'dropped'", f"state = 'waiting' AND {strange}", *machines)
    found = Task.pick("task_id", f"{strange} AND status IN ({placeholders(_OPEN)})", *machines, *_OPEN)
    # Not that it never arrived: it may have, and may even run.
    summary = spoken(Status.FAILED, reason=Reason.ERROR, error=GONE)
    verdict = (Status.FAILED, Reason.UNDELIVERABLE, GONE, summary, now)
    return [task_id for (task_id,) in found if _fail(task_id, verdict, _OPEN)]


def _drop(
    which: str,
    *values: object,
    reason: Reason,
    error: str,
    now: float,
    of: Collection[Status] = (Status.PENDING,),
) -> list[str]:
    which = f"state = 'waiting' AND {which}"
    dropped = Delivery.pick("task_id, event", which, *values)
    Delivery.change("state = 'dropped'", which, *values)
    # That an order to stop did not arrive says nothing about the task, unless the machine says so.
    ended = [one for one, event in dropped if one and (event != CANCEL or reason is Reason.REJECTED)]
    summary = spoken(Status.FAILED, reason=reason, error=error)
    verdict = (Status.FAILED, reason, error, summary, now)
    return [one for one in ended if _fail(one, verdict, of)]


def _fail(task_id: str, verdict: tuple[object, ...], of: Collection[Status]) -> bool:
    change = "status = ?, reason = ?, error = ?, summary = ?, completed_at = ?"
    which = f"task_id = ? AND status IN ({placeholders(of)})"
    return bool(Task.change(change, which, *verdict, task_id, *of))


def forget(before: float) -> int:
    """Delete a batch of what ended before *before*; how much it was. Called until it is nothing.

    Both clocks must agree: a machine whose clock is wrong would else have its news forgotten at once.
    A delivery stays as long as its task, because "run again" may need it."""
    ended = "status IN ('completed', 'failed', 'cancelled') AND created_at < ?"
    old = Task.pick(
        "task_id", f"{ended} AND coalesce(completed_at, 0) < ? LIMIT ?", before, before, FORGET_BATCH
    )
    tasks = [task_id for (task_id,) in old]
    Task.delete().where(Task.task_id.in_(tasks)).execute()
    settled = "state != 'waiting' AND accepted_at < ?"
    unneeded = "NOT EXISTS (SELECT 1 FROM tasks WHERE tasks.task_id = deliveries.task_id)"
    seqs = Delivery.pick("seq", f"{settled} AND {unneeded} LIMIT ?", before, FORGET_BATCH)
    Delivery.delete().where(Delivery.seq.in_([seq for (seq,) in seqs])).execute()
    return len(tasks) + len(seqs)
