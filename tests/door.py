"""Webhooks as a relay hands them in, each on its own, at the machine's one door."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from relay.protocol import COMMAND, DEFAULT_TTL_S, Command, Webhook
from worker import models
from worker.inbox import Inbox


def webhook(event: str, payload: dict[str, Any], **changes: Any) -> Webhook:
    """What the relay makes of *payload*; *changes* overrule the rest."""
    values = {
        "event": event, "delivery_id": "d-1", "timestamp": datetime.now(UTC), "payload": payload,
        "caller": "phone", "expires_in": DEFAULT_TTL_S, "attempt": 1,
    }  # fmt: skip
    return Webhook.model_validate({**values, **changes})


def said(command: Command, **changes: Any) -> Webhook:
    """The webhook with which *command* travels."""
    data = command.model_dump(mode="json", exclude_defaults=True)
    own = {"delivery_id": f"d-{command.task_id}", **changes}
    return webhook(COMMAND, {"type": COMMAND, "data": data}, **own)


def hand_in(inbox: Inbox, one: Webhook) -> None:
    """Raises why it can never be taken, if it cannot."""
    (refusal,) = inbox.accept([one])
    if refusal is not None:
        raise refusal


def ask(inbox: Inbox, command: Command, **changes: Any) -> models.Task:
    """Hand *command* in; its row as it stands then."""
    hand_in(inbox, said(command, **changes))
    task = models.get(command.task_id)
    assert task is not None
    return task
