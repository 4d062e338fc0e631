"""Frames on their way in and out: what has arrived, and what is answered."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from websockets.asyncio.client import ClientConnection

from listener.door import Inbox
from listener.endings import Broken
from relay.mistakes import explain
from relay.protocol import Ack, Heartbeat, Nack, RelayFrame, Webhook, Welcome
from relay.version import PROTOCOL, discord
from worker.inbox import Unacceptable, Unavailable

log = logging.getLogger("listener")

FRAME: TypeAdapter[RelayFrame] = TypeAdapter(RelayFrame)
MOST_AT_ONCE = 64


class _Spoken(BaseModel):
    protocol: Any = PROTOCOL  # Any: a relay of another protocol may say it in its own way


async def receive(connection: ClientConnection) -> list[RelayFrame]:
    """The next frame, and whatever else has arrived already: it is committed together."""
    frames = [read(await connection.recv())]
    try:
        async with asyncio.timeout(0):
            while len(frames) < MOST_AT_ONCE:
                frames.append(read(await connection.recv()))
    except TimeoutError:
        pass
    return frames


def heartbeat(inbox: Inbox) -> Heartbeat:
    """What the machine says of itself every now and then."""
    runs = inbox.worker_runs()
    try:
        busy, queued = inbox.load()
    except Unavailable:
        # The records are locked or the disk is full; that is no reason to look dead.
        return Heartbeat(worker=runs)
    return Heartbeat(busy=busy, queued=queued, worker=runs)


def answers(webhooks: list[Webhook], refusals: list[Unacceptable | None]) -> list[Ack | Nack]:
    """What the relay is told about webhooks that were handed in: one acknowledgement, and a
    refusal for each that can never be taken."""
    refused: list[Ack | Nack] = []
    taken = []
    for webhook, refusal in zip(webhooks, refusals, strict=True):
        if refusal is None:
            taken.append(webhook.delivery_id)
        else:
            log.warning("Delivery %s was refused: %s.", webhook.delivery_id, refusal)
            refused.append(Nack(delivery_id=webhook.delivery_id, error=str(refusal)))
    return [Ack(delivery_ids=taken), *refused] if taken else refused


def read_welcome(text: str | bytes) -> Welcome:
    """The first frame of a session. Raises Broken for any other, and for a relay of another protocol."""
    # What cannot be read even so far is explained below.
    with suppress(ValidationError):
        if why := discord(relay=_Spoken.model_validate_json(text).protocol, machine=PROTOCOL):
            raise Broken(why)
    welcome = read(text)
    if not isinstance(welcome, Welcome):
        raise Broken(f"the relay began with {welcome.type} instead of welcome")
    return welcome


def read(text: str | bytes) -> RelayFrame:
    """One frame. Raises Broken for anything that the relay should not have sent."""
    try:
        return FRAME.validate_json(text)
    except ValidationError as problem:
        raise Broken(f"the relay sent something unknown: {explain(problem)[:200]}") from None
