"""The one door into the machine. Listener, viewer and tests come in here.

Row first, queue second; the caller acknowledges third. Whatever is cut off in between is
healed by a redelivery or by the worker, and never runs twice.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from relay.protocol import DEFAULT_TTL_S, Command, Reason, Status, Webhook, explain
from worker import models, moves
from worker.admission import admit
from worker.policy import PolicyFile, Rejected
from worker.settings import Settings
from worker.tasks import Queue

log = logging.getLogger(__name__)

COMMAND = "task_command"


CannotOpen = models.CannotOpen
"""The records cannot be used; re-exported, because callers see only this module."""


class Unacceptable(Exception):
    """This delivery can never be taken; the text says why, for the relay and the caller."""


class Unavailable(Exception):
    """The records cannot be written now (a full disk, a lock); the delivery must come again."""


class CannotRetry(Exception):
    """The task cannot be run again now; the text says why."""


def open_inbox(settings: Settings | None = None) -> Inbox:
    """The inbox of this machine, its records and queue opened (and made when absent).

    Raises ValidationError for wrong settings, models.CannotOpen for records that cannot be used."""
    settings = settings or Settings.read()
    models.open_database(settings.sqlite_path)
    return Inbox(Queue(Path(settings.queue_url)), PolicyFile(settings.policy_path))


class Inbox:
    """Takes commands and events, and lets ended tasks run again."""

    def __init__(
        self,
        queue: Queue,
        policy: PolicyFile,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._queue = queue
        self._policy = policy
        self._now = now

    def take(self, webhook: Webhook) -> None:
        """Put a webhook on disk. When this returns, the relay may forget it.

        Raises Unacceptable when it can never be taken, Unavailable when it cannot be taken now."""
        try:
            self._take(webhook)
        except models.STORE_ERRORS as problem:
            raise Unavailable(f"the records cannot be written ({problem})") from None

    def _take(self, webhook: Webhook) -> None:
        if webhook.event != COMMAND:
            self._keep(webhook)
            return
        try:
            command = Command.model_validate(webhook.payload.get("data"))
        except ValidationError as problem:
            raise Unacceptable(f"The command cannot be read: {explain(problem)}") from None
        self.accept(command, caller=webhook.caller, expires_in=webhook.expires_in)

    def accept(self, command: Command, *, caller: str, expires_in: float) -> models.Task:
        """Record *command* and ring for it. A repeated command changes nothing.

        What policy or parameters forbid is recorded as well, as a failed task that says why.
        Raises Unacceptable when the id belongs to another command."""
        digest = _digest(command)
        task = models.get(command.task_id) or self._insert(command, digest, caller, expires_in)
        if task.digest != digest:
            raise Unacceptable(f"The task id {command.task_id!r} was used before for another command")
        # Also for a repeated command: the first time may have ended between row and queue.
        self._queue.ring(command.task_id)
        return task

    def retry(self, task_id: str) -> models.Task:
        """Run an ended task again, as its next attempt. Raises CannotRetry."""
        task = models.get(task_id)
        if task is None:
            raise CannotRetry(f"There is no task {task_id!r}")
        renewed = moves.renew(task, self._now(), DEFAULT_TTL_S)
        if renewed is None:
            raise CannotRetry(f"Only failed and cancelled tasks run again; this one is {task.status}")
        self._queue.ring(task_id)
        log.info("Task %s runs again (attempt %d).", task_id, renewed.attempt)
        return renewed

    def _insert(self, command: Command, digest: str, caller: str, expires_in: float) -> models.Task:
        now = self._now()
        preview, refusal = self._judge(command)
        ended = {
            "status": Status.FAILED,
            "reason": Reason.REJECTED,
            "error": refusal,
            "completed_at": now,
        }
        task = moves.insert(
            now,
            id=command.task_id,
            action_type=command.action_type,
            input_data=json.dumps(command.params, ensure_ascii=False),
            title=command.title,
            preview=preview,
            caller=caller,
            digest=digest,
            expires_at=now + timedelta(seconds=expires_in),
            **(ended if refusal else {}),
        )
        # None: another process took the same command a moment ago.
        task = task or models.get(command.task_id)
        assert task is not None
        return task

    def _judge(self, command: Command) -> tuple[str, str | None]:
        """What it would run, for people to read, and why it may not (None: it may)."""
        try:
            admission = admit(self._policy.current(), command.action_type, command.params)
        except Rejected as refusal:
            return json.dumps(command.params, ensure_ascii=False), str(refusal)
        return admission.action.preview, None

    def _keep(self, webhook: Webhook) -> None:
        moves.keep_event(
            delivery_id=webhook.delivery_id,
            event=webhook.event,
            caller=webhook.caller,
            payload=json.dumps(webhook.payload, ensure_ascii=False),
            received_at=self._now(),
        )


def _digest(command: Command) -> str:
    asked = command.model_dump(mode="json", exclude={"sync"})
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
