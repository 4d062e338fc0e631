"""Runs one attempt of one task: claim, check again, do it, record how it went."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from relay.protocol import Reason, Status
from worker import lanes, models, moves
from worker.actions.base import Job, Outcome
from worker.admission import Verdict, judge
from worker.asking import PATIENCE_S, Asker
from worker.clock import wall_clock
from worker.policy import Rejected
from worker.policy_file import PolicyFile
from worker.process import CannotStart
from worker.redact import Redactor
from worker.reporter import Reporter

log = logging.getLogger(__name__)

CHANGED = "What would run is not what was approved: policy or folders changed meanwhile; say it again"
LOOK_S = 0.3
"""How often a running task looks whether somebody asked to stop it."""
_PRINTED = ("stdout", "stderr")
RETRY_S = (0.5, 5.0)
"""The first and the longest pause before a result is recorded that could not be."""


class Runner:
    """What the worker's threads do when the bell rings."""

    def __init__(
        self,
        policy: PolicyFile,
        reporter: Reporter,
        marker: str,
        redactor: Redactor,
        now: Callable[[], datetime] = wall_clock,
        steady: Callable[[], datetime] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """*marker* is this worker's own; every program it starts carries it in its environment.
        What *redactor* recognises is stored nowhere.
        *now* is for what people read, *steady* for deadlines (`worker.clock`). *patience_s* is how
        long a person may think about what a running task asks."""
        self._policy = policy
        self._reporter = reporter
        self._marker = marker
        self._redactor = redactor
        self._now = now
        self._steady = steady or now
        self._patience_s = patience_s
        self._stopping = threading.Event()
        self._idle = threading.Condition()
        self._busy = 0
        models.output_dir().mkdir(mode=0o700, exist_ok=True)

    def run(self, task_id: str) -> None:
        """Run the task if it waits. The bell may ring twice, late, or only because there is news."""
        if self._stopping.is_set():
            return  # It waits for the next worker.
        with self._counted():
            following: str | None = task_id
            while following is not None and not self._stopping.is_set():
                following = self._run_one(following)
        self._reporter.wake()

    def stop(self, timeout: float) -> None:
        """End what runs, as interrupted, and wait up to *timeout* seconds for it."""
        self._stopping.set()
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0, timeout)

    def _run_one(self, task_id: str) -> str | None:
        """Run the task if it may start now; the id of the one that may start in its place then."""
        task = models.get(task_id)
        if task is None or task.status != Status.PENDING:
            return None
        verdict = self._judge(task)
        # What is too late is not asked about: the claim ends it.
        if verdict.approval and task.approved is None and task.expires_at > self._steady():
            until = self._steady() + timedelta(seconds=verdict.expire_s)
            moves.ask_approval(task, until, **verdict.columns())
        elif claimed := moves.claim(task.id, self._marker, self._now(), self._steady()):
            self._record(claimed, self._without_secrets(self._attempt(claimed, verdict)))
        following = lanes.next_in(task.lane) if task.lane else None
        self._reporter.wake()
        return following.id if following else None

    def _judge(self, task: models.Task) -> Verdict:
        """What today's policy says: it may have changed since the command was accepted."""
        age_s = (self._steady() - (task.said_at or task.created_at)).total_seconds()
        params = json.loads(task.input_data)
        return judge(self._policy, task.caller, task.action_type, params, age_s, waiting=0)

    def _attempt(self, task: models.Task, verdict: Verdict) -> Outcome:
        admission = verdict.admission
        if admission is None:
            return Outcome(Status.FAILED, Reason.REJECTED, verdict.refusal)
        if task.approved is not None and task.approved != admission.fingerprint:
            return Outcome(Status.FAILED, Reason.REJECTED, CHANGED)
        try:
            job = Job(
                root=admission.place.root,
                directory=admission.place.directory,
                log=models.output_path(task),
                marker=f"{self._marker}:{task.seq}-{task.attempt}",
                stop=self._stop_for(task),
                roots=admission.roots,
                is_trusted=admission.place.project.trust_repo_config,
                redactor=self._redactor,
                most_bytes=verdict.most_bytes,
                ask=Asker(task, self._redactor, self._now, self._steady, self._patience_s).ask,
                keep=partial(_keep, task),
            )
            return admission.action.run(job)
        except (Rejected, CannotStart) as refusal:
            return Outcome(Status.FAILED, Reason.REJECTED, str(refusal))
        except OSError as problem:
            return Outcome(Status.FAILED, Reason.ERROR, f"The machine could not go on: {problem}")
        except Exception:
            # The edge of the worker's loop: a fault in an action must end its task, not its thread.
            log.exception("Task %s met a fault of ours.", task.id)
            return Outcome(Status.FAILED, Reason.ERROR, "A fault of ours; the worker's log has the details")

    def _without_secrets(self, outcome: Outcome) -> Outcome:
        """*outcome* as it may be stored and told; what was printed was cleaned as it came."""
        clean = self._redactor.clean_json
        printed = {name: outcome.output_data[name] for name in _PRINTED if name in outcome.output_data}
        rest = {name: value for name, value in outcome.output_data.items() if name not in printed}
        return replace(
            outcome,
            error=clean(outcome.error),
            headline=clean(outcome.headline),
            output_data={**printed, **clean(rest)},
        )

    def _stop_for(self, task: models.Task) -> Callable[[], bool]:
        """What the running program's module asks ten times a second; the row only now and then."""
        looked, is_said = time.monotonic(), False

        def stop() -> bool:
            nonlocal looked, is_said
            if self._stopping.is_set():
                return True
            if time.monotonic() - looked < LOOK_S:
                return False
            looked = time.monotonic()
            if not is_said:
                # Of what ends sooner, its end says enough.
                log.info("Task %s is running (attempt %d).", task.id, task.attempt)
                is_said = True
            # Records that cannot be read for a while are no reason to end somebody's program.
            with suppress(*models.STORE_ERRORS):
                return models.is_stop_asked(task)
            return False

        return stop

    def _record(self, task: models.Task, outcome: Outcome) -> None:
        """Record the result, however long the disk is full or the records are locked: what was done
        cannot be done again to find out. Gives up when the worker stops; then it counts as interrupted."""
        pause, longest = RETRY_S
        while True:
            is_last = self._stopping.is_set()
            try:
                self._finish(task, outcome)
            except models.STORE_ERRORS as problem:
                lost = "and is lost: the worker stops" if is_last else "and will be tried again"
                log.warning("The result of task %s cannot be recorded (%s) %s.", task.id, problem, lost)
            else:
                return
            if is_last:
                return
            self._stopping.wait(pause)
            pause = min(2 * pause, longest)

    def _finish(self, task: models.Task, outcome: Outcome) -> None:
        values = {"reason": outcome.reason, "error": outcome.error}
        status = outcome.status
        if status is Status.CANCELLED and not models.is_stop_asked(task):
            status, values = Status.FAILED, {"reason": Reason.INTERRUPTED, "error": moves.INTERRUPTED}
        output_data = {**outcome.output_data, "headline": outcome.headline}
        ended = moves.finish(
            task,
            status,
            self._now(),
            output_data=json.dumps(output_data, ensure_ascii=False),
            **values,
        )
        if ended is not None:
            log.info("Task %s is %s%s.", task.id, status, f" ({ended.reason})" if ended.reason else "")

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count an attempt under way, so that `stop` knows when the last one has been recorded."""
        with self._idle:
            self._busy += 1
        try:
            yield
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()


def _keep(task: models.Task, output_data: Mapping[str, Any]) -> None:  # Any: JSON
    # For the case that this worker dies; that it cannot be written now is no reason to stop.
    with suppress(*models.STORE_ERRORS):
        moves.keep(task, json.dumps(dict(output_data), ensure_ascii=False))
