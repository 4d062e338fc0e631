"""Runs one attempt of one task: claim, check again, do it, record how it went."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from relay.protocol import Reason, Status
from worker import models, moves
from worker.actions.base import Job, Outcome
from worker.admission import admit
from worker.policy import PolicyFile, Rejected
from worker.process import CannotStart
from worker.reporter import Reporter

log = logging.getLogger(__name__)


class Runner:
    """What the worker's threads do when the bell rings."""

    def __init__(
        self,
        policy: PolicyFile,
        reporter: Reporter,
        marker: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """*marker* is this worker's own; every program it starts carries it in its environment."""
        self._policy = policy
        self._reporter = reporter
        self._marker = marker
        self._now = now
        self._stopping = threading.Event()
        self._idle = threading.Condition()
        self._busy = 0
        models.output_dir().mkdir(mode=0o700, exist_ok=True)

    def run(self, task_id: str) -> None:
        """Run the task if it waits. The bell may ring twice, late, or only because there is news."""
        if self._stopping.is_set():
            return  # It waits for the next worker.
        with self._counted():
            task = moves.claim(task_id, self._marker, self._now())
            if task is not None:
                log.info("Task %s starts (attempt %d).", task.id, task.attempt)
                self._record(task, self._attempt(task))
        self._reporter.wake()

    def stop(self, timeout: float) -> None:
        """End what runs, as interrupted, and wait up to *timeout* seconds for it."""
        self._stopping.set()
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0, timeout)

    def _attempt(self, task: models.Task) -> Outcome:
        try:
            admission = admit(self._policy.current(), task.action_type, json.loads(task.input_data))
            job = Job(
                root=admission.place.root,
                directory=admission.place.directory,
                log=models.output_path(task),
                marker=f"{self._marker}:{task.seq}-{task.attempt}",
                stop=self._stopping.is_set,
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

    def _record(self, task: models.Task, outcome: Outcome) -> None:
        values = {"reason": outcome.reason, "error": outcome.error}
        status = outcome.status
        if self._stopping.is_set() and status is Status.CANCELLED:
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
