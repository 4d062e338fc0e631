"""The one door into the machine. Listener, viewer and tests come in here.

Row first, queue second; the caller acknowledges third. Whatever is cut off in between is
healed by a redelivery or by the worker, and never runs twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from relay.announced import Announced
from relay.protocol import Fetched, Webhook
from worker import actions, agents, durability, fetches, models, moves, signs
from worker.announcement import announced
from worker.clock import steady_clock, wall_clock
from worker.decisions import DECLINED, CannotApprove, CannotFollowUp, CannotRetry, Clock, Decisions
from worker.intake import Intake, Step, Unacceptable, once
from worker.policy import Rejected
from worker.policy_file import PolicyFile
from worker.schema import open_database
from worker.settings import Places
from worker.tasks import Queue

CannotOpen = models.CannotOpen
Signs = signs.Signs
"""These two are re-exported like the other refusals: callers see this module only."""
__all__ = [
    "DECLINED",
    "CannotApprove",
    "CannotFollowUp",
    "CannotOpen",
    "CannotRetry",
    "Inbox",
    "Signs",
    "Unacceptable",
    "Unavailable",
    "has_action",
    "open_inbox",
]


class Unavailable(Exception):
    """The records cannot be written now (a full disk, a lock); the delivery must come again."""


def open_inbox(places: Places | None = None) -> Inbox:
    """The inbox of this machine, its records and queue opened (and made when absent).

    Raises ValidationError for wrong settings, models.CannotOpen for records that cannot be used."""
    places = places or Places.read()
    open_database(places.sqlite_path)
    queue = Queue(Path(places.queue_url))
    actions.catalogue()  # Now, not when the first command waits for it: a fifth of a second.
    return Inbox(queue, PolicyFile(places.policy_path), steady=steady_clock())


def has_action(name: str) -> bool:
    """Whether this machine has such an action; of any other nothing can ever run."""
    return name in actions.catalogue()


class Inbox:
    """Takes commands and events, and lets ended tasks run again."""

    def __init__(
        self, queue: Queue, policy: PolicyFile, now: Clock = wall_clock, steady: Clock | None = None
    ) -> None:
        """*now* is for what people read, *steady* for deadlines (`worker.clock`)."""
        self._queue = queue
        self._policy = policy
        self._now = now
        self._decide = Decisions(policy, now, steady or now)
        self._intake = Intake(self._decide, now)
        self._link = signs.LinkFile()

    def accept(self, webhooks: Sequence[Webhook]) -> list[Unacceptable | None]:
        """Put webhooks on disk together, in their order, with one commit; for each, why it can never
        be taken, or None. A repeated one changes nothing. What policy or parameters forbid is recorded
        as well, as a failed task that says why.
        Raises Unavailable when all of them have to come again, taken or not."""
        try:
            # Judged before the transaction begins: while it is open nobody else can write.
            steps = [self._intake.prepare(webhook) for webhook in webhooks]
        except models.STORE_ERRORS as problem:
            raise Unavailable(f"the records cannot be read ({problem})") from None
        try:
            # It rings before it waits: a worker may begin, since its claim takes all of this along to disk.
            with durability.synced_at_the_end():
                refusals, ring = _written(steps)
                for task_id in ring:
                    self._queue.ring(task_id)
        except (*models.STORE_ERRORS, OSError) as problem:
            raise Unavailable(f"the records cannot be written ({problem})") from None
        return refusals

    def retry(self, task_id: str) -> models.Task:
        """Run an ended task again, as its next attempt. Raises CannotRetry, or KeyError for a task that
        is not there."""
        renewed = self._decide.renew(_needed(task_id))
        self._queue.ring(task_id)
        return renewed

    def follow_up(self, task_id: str, words: str, new_id: str) -> models.Task:
        """A person at the machine says *words* to go on where a task ended, as a task *new_id* of its own;
        the same again changes nothing. Raises CannotFollowUp, KeyError, or Unacceptable for a taken id."""
        task = once(lambda: self._decide.follow_up(_needed(task_id), words, new_id))
        self._queue.ring(new_id)
        return task

    def cancel(self, task_id: str) -> None:
        """Stop a task: one that waits ends at once, one that runs as soon as its program is gone.

        A task that has ended stays as it is. Raises KeyError for a task that is not there."""
        self._decide.stop(_needed(task_id))
        self._queue.ring(task_id)

    def approve(self, task_id: str, fingerprint: str) -> None:
        """A person at the machine says yes to exactly what *fingerprint* stands for.

        No webhook leads here. Raises CannotApprove, or KeyError for a task that is not there."""
        self._decide.approve(_needed(task_id), fingerprint)
        self._queue.ring(task_id)

    def decline(self, task_id: str) -> None:
        """A person at the machine says no. Raises as above."""
        self._decide.decline(_needed(task_id))
        self._queue.ring(task_id)

    def answer(self, task_id: str, number: int, fingerprint: str, *, is_allowed: bool) -> None:
        """A person at the machine says yes or no to exactly what a running task asks (`worker.questions`).

        No webhook leads here. Raises CannotApprove, or KeyError for a task that is not there."""
        self._decide.answer(_needed(task_id), number, fingerprint, is_allowed=is_allowed)
        self._queue.ring(task_id)

    def load(self) -> tuple[int, int]:
        """How many tasks run, and how many wait for a free worker. Raises Unavailable."""
        try:
            return models.load()
        except models.STORE_ERRORS as problem:
            raise Unavailable(f"the records cannot be read ({problem})") from None

    def worker_runs(self) -> bool:
        """Whether the worker of these records runs; without it nothing is started."""
        return signs.read().worker_runs

    def announced(self) -> Announced:
        """What may be asked for on this machine as its policy says it now, and the assistants that can
        be called, as far as somebody has looked."""
        return announced(self._policy, actions.catalogue(), agents.known())

    def policy_problem(self) -> str | None:
        """Why nothing at all is allowed here, as a sentence; None while the policy can be used."""
        try:
            self._policy.current()
        except Rejected as problem:
            return str(problem)
        return None

    def note_fetched(self, fetched: Sequence[Fetched]) -> None:
        """Callers were given the results of these attempts; kept for people to count, so that a locked
        file is no reason to stop."""
        with suppress(*models.STORE_ERRORS):
            fetches.record(fetched, self._now())

    def tell_link(self, machine: str, version: str, *, is_open: bool) -> None:
        """The listener says whether it has a session with the relay; for people to see, so that a
        full disk is no reason to stop. Raises CannotOpen when another listener runs on these records."""
        with suppress(OSError):
            self._link.write(signs.Link(machine, version, is_open, self._now()))

    def signs(self) -> signs.Signs:
        """Who runs on this machine, and how it stands with the relay."""
        return signs.read()


def _written(steps: Sequence[Step]) -> tuple[list[Unacceptable | None], list[str]]:
    """Take *steps* with one commit; for each, why it can never be taken, or None; and whom to ring for."""
    refusals: list[Unacceptable | None] = []
    ring: list[str] = []
    with moves.together():
        for step in steps:
            try:
                ring += step()
            except Unacceptable as refusal:
                refusals.append(refusal)
            else:
                refusals.append(None)
    return refusals, ring


def _needed(task_id: str) -> models.Task:
    task = models.get(task_id)
    if task is None:
        raise KeyError(task_id)
    return task
