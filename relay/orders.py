"""What "cancel" and "run again" change in the relay's memory, inside the caller's transaction."""

from __future__ import annotations

from relay.protocol import CANCEL, MOVES, Status
from relay.speech import spoken
from relay.store import NewDelivery, add
from relay.tables import Delivery, Task

_REMEMBERED = "remembered"
_OF_TASK = f"task_id = ? AND event != '{CANCEL}' AND state != '{_REMEMBERED}'"


class TooLate(Exception):
    """The task is not where the order could still do something; the text says where it is."""


def attempt_of_retry(task: Task) -> int:
    """The attempt that an order to run *task* again means: the next one, or the same while the machine
    never told anything of it."""
    return task.attempt + 1 if task.rev else task.attempt


def cancel(task: Task, order: NewDelivery) -> Task:
    """Stop *task*. What was never sent ends here and now; otherwise *order* goes to the machine,
    whose report says how it ended. Raises TooLate for a task that has ended."""
    if Status(task.status).is_final:
        raise TooLate(f"Task {task.task_id!r} is {task.status} already, so there is nothing to stop")
    if Delivery.change("state = 'dropped'", f"{_OF_TASK} AND state = 'waiting' AND sends = 0", task.task_id):
        task.status = Status.CANCELLED
        task.summary = spoken(Status.CANCELLED)
        task.completed_at = order.accepted_at
        task.rewrite()
    elif not Delivery.pick(
        "seq", "task_id = ? AND digest = ? AND state = 'waiting'", task.task_id, order.digest
    ):
        add(order, task.machine, task.task_id)
    return task


def retry(task: Task, order: NewDelivery) -> Task:
    """Run *task* again, as `attempt_of_retry` says. The machine makes the next attempt; the same one is
    sent to it once more instead. Raises TooLate for a task that may not run again."""
    status = Status(task.status)
    # What waits for an approval may become pending as well, but not by an order.
    if not status.is_final or Status.PENDING not in MOVES[status]:
        raise TooLate(f"Only failed and cancelled tasks run again; {task.task_id!r} is {task.status}")
    # An order to stop that still waits was about what is over now.
    Delivery.change(
        "state = 'dropped'", f"task_id = ? AND state = 'waiting' AND event = '{CANCEL}'", task.task_id
    )
    if (attempt := attempt_of_retry(task)) > task.attempt:
        # No news yet of the new attempt; (attempt, rev) still orders what comes.
        task.attempt, task.rev = attempt, 0
        add(order, task.machine, task.task_id)
    else:
        ((seq,),) = Delivery.pick("seq", f"{_OF_TASK} ORDER BY seq DESC LIMIT 1", task.task_id)
        # What was sent once may be there already, so it does not count as never sent. Whoever wants it
        # now must be allowed to: the machine judges it by their name.
        revived = "state = 'waiting', sends = min(sends, 1), expires_at = ?, caller = ?"
        Delivery.change(revived, "seq = ?", order.expires_at, order.caller, seq)
    task.status, task.output, task.truncated = Status.PENDING, "", False
    task.reason = task.error = task.summary = task.returncode = task.started_at = task.completed_at = None
    task.rewrite()
    return task


def remember(order: NewDelivery, task: Task) -> None:
    """Keep the id of an *order* that was carried out here, without a delivery of its own: the same again
    must change nothing."""
    row = {"machine": task.machine, "task_id": task.task_id, "size": 0, "state": _REMEMBERED, **vars(order)}
    Delivery.put(row, unless="delivery_id, machine")
