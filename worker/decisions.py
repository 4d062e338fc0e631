"""What is decided about tasks that do not run: accepted, run again, stopped, approved, declined.

It changes rows; whoever calls rings for them afterwards."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from relay.names import HERE
from relay.protocol import DEFAULT_TTL_S, Command, Reason, Status
from worker import actions, models, moves
from worker.actions.base import Answer
from worker.admission import Verdict, judge
from worker.policy import Rejected
from worker.policy_file import PolicyFile

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]
_TITLE_CHARS = 200
DECLINED = "You declined it in the viewer, so nothing was run"
NOT_OPEN = (
    "It does not wait for this answer any more: it was answered, its time was over, or the task has ended"
)


class Conflict(Exception):
    """The task id belongs to another command."""


class CannotRetry(Exception):
    """The task cannot be run again now; the text says why."""


class CannotFollowUp(Exception):
    """There is nothing that could go on; the text says why."""


class CannotApprove(Exception):
    """There is nothing to say yes or no to; the text says why."""


class Decisions:
    """Decides by today's policy."""

    def __init__(self, policy: PolicyFile, now: Clock, steady: Clock) -> None:
        """*now* is for what people read, *steady* for deadlines (`worker.clock`)."""
        self._policy = policy
        self._now = now
        self._steady = steady

    def accept(
        self,
        command: Command,
        caller: str,
        expires_in: float,
        *,
        by: str | None = None,
        is_told: bool = True,
    ) -> Callable[[], models.Task]:
        """Judge *command* now, and record it once when the answer is called.

        Apart, because judging takes longer than writing, and nobody else can write while a
        transaction is open. What policy or parameters forbid is recorded as well, as a failed task
        that says why. *by* is who wants it now, when that is not the *caller* who asked first: both must be
        allowed to. *is_told*: whether the relay knows of it. The answer raises Conflict."""
        now, age = self._now(), max(0.0, command.ttl - expires_in)
        verdict = self._judge((by, caller), command.action_type, command.params, age)
        row = {
            "id": command.task_id,
            "action_type": command.action_type,
            "input_data": json.dumps(command.params, ensure_ascii=False),
            "title": command.title,
            "caller": caller,
            "digest": _digest(command),
            "reported_rev": 0 if is_told else moves.UNTOLD,
            **self._waiting(verdict, age, expires_in),
            **(_refused(verdict.refusal, now) if verdict.refusal else {"status": verdict.status}),
        }
        return lambda: _record(now, row)

    def follow_up(self, task: models.Task, words: str, new_id: str) -> models.Task:
        """Go on with *words* where *task* ended, as a task *new_id* of its own, by the policy of today.
        The same again changes nothing. Raises CannotFollowUp or Conflict."""
        if not Status(task.status).is_final:
            raise CannotFollowUp("It has not ended; wait for it, or stop it first")
        params, result = json.loads(task.input_data), json.loads(task.output_data or "{}")
        kind = actions.catalogue().get(task.action_type)
        following = kind.follow_up(params, result, words) if kind else None
        if following is None:
            raise CannotFollowUp("It left no conversation that could go on")
        title = " ".join(words.split())[:_TITLE_CHARS] or None
        fields = {"task_id": new_id, "action_type": task.action_type, "params": following, "title": title}
        record = self.accept(Command.model_validate(fields), HERE, DEFAULT_TTL_S, is_told=False)
        return record()

    def renew(self, task: models.Task, age_s: float = 0.0, by: str | None = None) -> models.Task:
        """Make the next attempt of an ended task, by the policy of today: an approval that was
        given to an earlier attempt does not count. *by* is the caller who wants it, None: a person at
        the machine. Raises CannotRetry."""
        params = json.loads(task.input_data)
        verdict = self._judge((by, task.caller), task.action_type, params, age_s)
        if verdict.refusal:
            raise CannotRetry(verdict.refusal)
        renewed = moves.renew(task, verdict.status, **self._waiting(verdict, age_s, DEFAULT_TTL_S - age_s))
        if renewed is None:
            raise CannotRetry(f"Only failed and cancelled tasks run again; this one is {task.status}")
        log.info("Task %s runs again (attempt %d).", task.id, renewed.attempt)
        return renewed

    def stop(self, task: models.Task) -> None:
        """End a task that waits; ask the worker to end one that runs. An ended one stays as it is."""
        if moves.cancel(task, self._now()) is None:
            moves.ask_stop(task)

    def approve(self, task: models.Task, fingerprint: str) -> None:
        """A person says yes to exactly what *fingerprint* stands for, once. Raises CannotApprove.

        The yes is good for as long as the question was: it must not run after a night in which the
        machine slept."""
        steady = self._steady()
        try:
            in_time = steady + timedelta(seconds=self._policy.current().approval.expire_s)
        except Rejected as problem:
            raise CannotApprove(str(problem)) from None
        if moves.approve(task, fingerprint, steady, in_time) is None:
            raise CannotApprove(_why_not(task, fingerprint))
        log.info("Task %s was approved.", task.id)

    def decline(self, task: models.Task) -> None:
        """A person says no. Raises CannotApprove."""
        if moves.decline(task, DECLINED, self._now()) is None:
            raise CannotApprove(_why_not(task, task.fingerprint))
        log.info("Task %s was declined.", task.id)

    def answer(self, task: models.Task, number: int, fingerprint: str, *, is_allowed: bool) -> None:
        """A person says yes or no to what a running task asks, once. Raises CannotApprove."""
        word = Answer.YES if is_allowed else Answer.NO
        if not moves.answer(task, number, fingerprint, word, self._steady()):
            raise CannotApprove(NOT_OPEN)
        log.info("What task %s asked was %s.", task.id, "allowed" if is_allowed else "denied")

    def _judge(
        self, callers: Iterable[str | None], action_type: str, params: Mapping[str, Any], age_s: float
    ) -> Verdict:
        """A no to any of *callers* is a no: or one who may only look could run again what another may
        ask for."""
        waiting = models.count_pending()
        for caller in dict.fromkeys(one for one in callers if one is not None):
            verdict = judge(self._policy, caller, action_type, params, age_s, waiting)
            if verdict.refusal:
                break
        return verdict

    def _waiting(self, verdict: Verdict, age_s: float, expires_in: float) -> dict[str, Any]:
        """What it waits for, since when and until when, as columns."""
        steady = self._steady()
        left = min(expires_in, verdict.expire_s) if verdict.approval else expires_in
        return {
            **verdict.columns(),
            "said_at": steady - timedelta(seconds=age_s),
            "expires_at": steady + timedelta(seconds=left),
        }


def _record(now: datetime, row: dict[str, Any]) -> models.Task:
    if task := moves.insert(now, **row):
        return task
    task = models.get(row["id"])
    assert task is not None
    if task.digest != row["digest"]:
        raise Conflict(f"The task id {task.id!r} was used before for another command")
    moves.tell_again(task.id)
    return task


def _refused(why: str, now: datetime) -> dict[str, Any]:
    return {"status": Status.FAILED, "reason": Reason.REJECTED, "error": why, "completed_at": now}


def _why_not(task: models.Task, fingerprint: str | None) -> str:
    if task.status != Status.AWAITING_APPROVAL:
        verb = {Status.COMPLETED: "has", Status.FAILED: "has", Status.CANCELLED: "was"}
        return (
            f"It does not wait for your OK any more: it {verb.get(Status(task.status), 'is')} {task.status}"
        )
    if task.fingerprint != fingerprint:
        return "What would run is not what you were shown; look at it again"
    return "The question has lapsed; run it again if it is still wanted"


def _digest(command: Command) -> str:
    asked = command.model_dump(mode="json", exclude={"sync"})
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
