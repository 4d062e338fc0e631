"""What a webhook from the relay becomes: a command, an order about a task, or an event that is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from relay.mistakes import explain
from relay.protocol import CANCEL, COMMAND, DEFAULT_TTL_S, RETRY, Command, TaskId, Webhook
from worker import models, moves
from worker.decisions import CannotRetry, Clock, Conflict, Decisions

T = TypeVar("T", bound=BaseModel)

Step = Callable[[], list[str]]
"""Writes one webhook down; gives the tasks to ring for when that is on disk. Raises Unacceptable."""


class Unacceptable(Exception):
    """This delivery can never be taken; the text says why, for the relay and the caller."""


class Order(BaseModel):
    """Which attempt of which task a "cancel" or a "run again" means: for the latter, the next one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task_id: TaskId
    attempt: int = Field(ge=1)


class Intake:
    """Reads and judges webhooks; what it makes of them is written down by whoever calls."""

    def __init__(self, decide: Decisions, now: Clock) -> None:
        self._decide = decide
        self._now = now

    def prepare(self, webhook: Webhook) -> Step:
        """Judge *webhook* now, outside of any transaction."""
        if webhook.event == COMMAND:
            try:
                command = _read(Command, webhook)
            except Unacceptable as refusal:
                return partial(_refuse, refusal)
            record = self._decide.accept(
                command, webhook.first_caller or webhook.caller, webhook.expires_in, by=webhook.caller
            )
            # Also a repeated command is rung for: the first time may have ended between row and queue.
            return lambda: [once(record).id]
        if webhook.event in {CANCEL, RETRY}:
            return lambda: self._obey(webhook, _read(Order, webhook))
        return lambda: self._keep(webhook)

    def _obey(self, webhook: Webhook, order: Order) -> list[str]:
        """Carry out an order about a task; a repeated one finds another attempt and changes nothing."""
        task = models.get(order.task_id)
        if task is None:
            raise Unacceptable(f"There is no task {order.task_id!r} on this machine")
        if webhook.event == CANCEL and task.attempt == order.attempt:
            self._decide.stop(task)
        elif webhook.event == RETRY and task.attempt == order.attempt - 1:
            try:
                self._decide.renew(task, max(0.0, DEFAULT_TTL_S - webhook.expires_in), webhook.caller)
            except CannotRetry as problem:
                raise Unacceptable(str(problem)) from None
        moves.tell_again(order.task_id)
        return [order.task_id]

    def _keep(self, webhook: Webhook) -> list[str]:
        moves.keep_event(
            delivery_id=webhook.delivery_id,
            event=webhook.event,
            caller=webhook.caller,
            payload=json.dumps(webhook.payload, ensure_ascii=False),
            received_at=self._now(),
        )
        return []


def once(record: Callable[[], models.Task]) -> models.Task:
    """The task that *record* writes down. Raises Unacceptable when its id belongs to another command."""
    try:
        return record()
    except Conflict as problem:
        raise Unacceptable(str(problem)) from None


def _refuse(refusal: Unacceptable) -> list[str]:
    raise refusal


def _read(kind: type[T], webhook: Webhook) -> T:
    try:
        return kind.model_validate(webhook.payload.get("data"))
    except ValidationError as problem:
        raise Unacceptable(f"The {webhook.event} cannot be read: {explain(problem)}") from None
