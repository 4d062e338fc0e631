"""Every change of a task. Each move is one compare-and-set UPDATE, so of two processes that want to
move a task only one wins, and a late one changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from relay.protocol import Reason, Status, sources
from worker import lanes
from worker.models import (
    DEFAULTS,
    NEXT_REV,
    Attempt,
    Event,
    Task,
    database,
    placeholders,
    with_status,
)
from worker.questions import Question

WRITING = threading.RLock()
"""Held by the thread of this process that writes. SQLite itself lets the others sleep and look
again, which is many times slower than being woken when the lock is free."""
EXPIRED = "It was not started in time; say it again if it is still wanted"
LAPSED = "Nobody approved it in time, and no answer is a no; say it again if it is still wanted"
UNTOLD = 2**62
"""`reported_rev` of a task that was asked for on this machine: the relay knows nothing of it."""
INTERRUPTED = "The worker stopped while it ran; nothing was repeated. Run it again if that is safe"


@contextmanager
def together() -> Iterator[None]:
    """Changes inside the block are committed together, when it ends; none of them if it fails."""
    with WRITING, database.atomic():
        yield


def insert(now: datetime, **values: Any) -> Task | None:  # Any: one value per column
    """Add a task; None when the id is taken."""
    row = {**DEFAULTS, "created_at": now, **values}
    columns = f"{', '.join(row)}, rev) VALUES ({placeholders(row)}, {NEXT_REV}"
    return _only(f"INSERT INTO tasks ({columns}) ON CONFLICT DO NOTHING RETURNING *", *row.values())


def claim(task_id: str, owner: str, now: datetime, steady: datetime | None = None) -> Task | None:
    """Take a waiting task for *owner*. None when there is nothing to run: it was taken, ended or
    never there, its lane is held by another one, or its time had passed on the clock of *steady*
    (default: *now*), in which case it ends as expired here."""
    steady = steady or now
    values = {"owner": owner, "started_at": now}
    if task := _move(task_id, Status.RUNNING, values, f"expires_at > ? AND {lanes.IS_FREE}", steady):
        return task
    late = {"reason": Reason.EXPIRED, "error": EXPIRED, "completed_at": now}
    _move(task_id, Status.FAILED, late, "status = 'pending' AND expires_at <= ?", steady)
    return None


def finish(task: Task, status: Status, now: datetime, **values: Any) -> Task | None:
    """End the attempt that *task* shows; None when it no longer runs under that owner.

    *values* may hold reason, error and output_data."""
    ended = {"completed_at": now, "owner": None, **values}
    return _move(task.id, status, ended, "owner = ? AND attempt = ?", task.owner, task.attempt)


def keep(task: Task, output_data: str) -> None:
    """Write down what shall be known of the attempt that *task* shows if its worker dies."""
    which = "id = ? AND attempt = ? AND owner = ? AND status = 'running'"
    values = (output_data, task.id, task.attempt, task.owner)
    _only(f"UPDATE tasks SET output_data = ? WHERE {which} RETURNING *", *values)  # noqa: S608 - our own words


def cancel(task: Task, now: datetime) -> Task | None:
    """End a task that has not been started; None when it is not waiting any more."""
    waits = "status IN ('pending', 'awaiting_approval') AND attempt = ?"
    return _move(task.id, Status.CANCELLED, {"completed_at": now}, waits, task.attempt)


def ask_approval(task: Task, expires_at: datetime, **values: Any) -> Task | None:
    """Let a task that waits to be started wait for a person instead; None when it does not wait.

    *values* say what would run and why a person is asked."""
    values |= {"expires_at": expires_at}
    return _move(
        task.id, Status.AWAITING_APPROVAL, values, "status = 'pending' AND attempt = ?", task.attempt
    )


def approve(task: Task, fingerprint: str, steady: datetime, expires_at: datetime) -> Task | None:
    """A person said yes to exactly what *fingerprint* stands for. None when that is not what
    waits, or the question has lapsed."""
    values = {"approved": fingerprint, "said_at": steady, "expires_at": expires_at}
    asked = "status = 'awaiting_approval' AND fingerprint = ? AND attempt = ? AND expires_at > ?"
    return _move(task.id, Status.PENDING, values, asked, fingerprint, task.attempt, steady)


def decline(task: Task, why: str, now: datetime) -> Task | None:
    """A person said no. None when nobody is asked."""
    values = {"reason": Reason.REJECTED, "error": why, "completed_at": now}
    asked = "status = 'awaiting_approval' AND attempt = ?"
    return _move(task.id, Status.FAILED, values, asked, task.attempt)


def lapse(now: datetime, steady: datetime) -> list[Task]:
    """No answer is a no: end the tasks that waited too long for a yes."""
    values = {"reason": Reason.EXPIRED, "error": LAPSED, "completed_at": now}
    late = [task for task in with_status(Status.AWAITING_APPROVAL) if task.expires_at <= steady]
    ended = [_move(task.id, Status.FAILED, values, "expires_at <= ?", steady) for task in late]
    return [task for task in ended if task is not None]


def ask_stop(task: Task) -> bool:
    """Ask the worker to stop the attempt that *task* shows; False when it does not run."""
    runs = (Task.id == task.id) & (Task.status == Status.RUNNING) & (Task.attempt == task.attempt)
    with together():
        return bool(Task.update(stop_attempt=task.attempt).where(runs).execute())


def ask(task: Task, **values: Any) -> int:
    """Write down what the running *task* asks; the question's number. *values* are its other columns."""
    row = {"task_id": task.id, "attempt": task.attempt, **values}
    text = f"INSERT INTO questions ({', '.join(row)}) VALUES ({placeholders(row)}) RETURNING *"  # noqa: S608 - our own words
    with together():
        (question,) = Question.run(text, *row.values())
        touch(task)
    return int(question.id)


def answer(task: Task, number: int, fingerprint: str, word: str, steady: datetime) -> bool:
    """A person gives *word* to the question with that number, once. False when that is not what it
    asks, it was answered before or has lapsed, or its attempt does not run or is being stopped."""
    runs = "SELECT 1 FROM tasks WHERE id = task_id AND tasks.attempt = questions.attempt"
    runs += " AND status = 'running' AND stop_attempt IS NOT tasks.attempt"
    open_one = "id = ? AND task_id = ? AND fingerprint = ? AND answer IS NULL AND lapses_at > ?"
    with together():
        text = f"UPDATE questions SET answer = ? WHERE {open_one} AND EXISTS ({runs}) RETURNING *"  # noqa: S608 - our own words
        found = Question.run(text, word, number, task.id, fingerprint, steady)
        touch(task)
    return bool(found)


def answer_of(number: int, otherwise: str | None = None) -> str | None:
    """The answer to a question; *otherwise*, which closes it, when there is none yet."""
    if otherwise is None:
        found = Question.run("SELECT * FROM questions WHERE id = ?", number)
    else:
        text = "UPDATE questions SET answer = coalesce(answer, ?) WHERE id = ? RETURNING *"
        with together():
            found = Question.run(text, otherwise, number)
            for question in found:
                _touch(question.task_id)
    return found[0].answer if found else None


def touch(task: Task) -> None:
    """There is something new to tell about a running task: it has printed more, or asks something."""
    _touch(task.id)


def _touch(task_id: str) -> None:
    _only(f"UPDATE tasks SET rev = {NEXT_REV} WHERE id = ? AND status = 'running'", task_id)  # noqa: S608 - our own words


def interrupt_running(now: datetime) -> list[Task]:
    """End every running task as interrupted; for a worker that starts and finds them without owner."""
    values = {"completed_at": now, "owner": None, "reason": Reason.INTERRUPTED, "error": INTERRUPTED}
    found = with_status(Status.RUNNING)
    ended = [_move(task.id, Status.FAILED, values, "status = 'running'") for task in found]
    return [task for task in ended if task is not None]


def renew(task: Task, status: Status, **values: Any) -> Task | None:
    """Make attempt n+1 of a task that ended badly and keep attempt n. It waits to be started, or
    for approval, as *status* says; *values* are its new columns. None when it may not run again now."""
    with together():
        # As the row stands now: *task* may have been read while it still ran.
        badly = Task.status.in_([Status.FAILED, Status.CANCELLED])
        ended = Task.get_or_none((Task.id == task.id) & (Task.attempt == task.attempt) & badly)
        if ended is None:
            return None
        anew = {
            "attempt": task.attempt + 1, "approved": None, **values,
            "reason": None, "error": None, "output_data": None, "started_at": None, "completed_at": None,
        }  # fmt: skip
        Attempt.create(task_id=ended.id, **{name: getattr(ended, name) for name in _KEPT})
        return _move(ended.id, status, anew, "attempt = ?", ended.attempt)


_KEPT = ("attempt", "status", "reason", "error", "output_data", "started_at", "completed_at")


def keep_event(**values: Any) -> None:
    """Keep a webhook that is no command; the same delivery again changes nothing."""
    with together():
        Event.insert(**values).on_conflict_ignore().execute()


def tell_again(task_id: str) -> None:
    """The relay asks for what it should know: it may have forgotten it, or lost it with its disk."""
    _only("UPDATE tasks SET reported_rev = 0 WHERE id = ? AND reported_rev < ? RETURNING *", task_id, UNTOLD)


def mark_reported(news: Sequence[tuple[str, int]]) -> None:
    """The relay has the news of these tasks, as `(id, rev)`; newer news stays unreported."""
    if not news:
        return
    with together():
        for task_id, rev in news:
            Task.run("UPDATE tasks SET reported_rev = ? WHERE id = ? AND reported_rev < ?", rev, task_id, rev)


def _move(task_id: str, target: Status, values: dict[str, Any], when: str, *facts: object) -> Task | None:
    """Move a task if that is legal and the SQL *when*, with *facts* for its `?`, holds."""
    legal = sources(target)
    changes = ", ".join(f"{name} = ?" for name in ("status", *values))
    which = f"id = ? AND status IN ({placeholders(legal)}) AND {when}"
    text = f"UPDATE tasks SET {changes}, rev = {NEXT_REV} WHERE {which} RETURNING *"  # noqa: S608 - our own words
    return _only(text, target, *values.values(), task_id, *legal, *facts)


def _only(text: str, *values: object) -> Task | None:
    with WRITING:
        rows = Task.run(text, *values)
    return rows[0] if rows else None
