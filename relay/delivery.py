"""What is on its way to a machine and how it is written down (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime

from relay.tables import Delivery

WINDOW = 32
"""How many webhooks may be on their way to a machine without an acknowledgement."""


class Window:
    """The deliveries of one session that were sent and not answered yet.

    State is kept per message, not as a cursor: a message that is answered late or never
    holds nobody else up. Redelivery happens in the next session only."""

    def __init__(self, size: int = WINDOW) -> None:
        self._size = size
        self._in_flight: dict[str, int] = {}

    @property
    def room(self) -> int:
        return self._size - len(self._in_flight)

    @property
    def in_flight(self) -> list[int]:
        """The `seq` numbers that must not be sent again in this session."""
        return list(self._in_flight.values())

    def sent(self, delivery_id: str, seq: int) -> None:
        self._in_flight[delivery_id] = seq

    def answered(self, delivery_ids: Iterable[str]) -> list[str]:
        """Take these out. Returns those that were in flight; others mean nothing to us."""
        return [one for one in delivery_ids if self._in_flight.pop(one, None) is not None]


def envelope(delivery: Delivery, now: float) -> str:
    """The frame that carries *delivery*, a `protocol.Webhook` as JSON text.

    The payload is spliced in as the text that was accepted, never decoded and encoded again."""
    head = {
        "type": "webhook",
        "event": delivery.event,
        "delivery_id": delivery.delivery_id,
        "timestamp": datetime.fromtimestamp(float(delivery.accepted_at), UTC).isoformat(),
        "caller": delivery.caller,
        "expires_in": round(float(delivery.expires_at) - now, 3),
        "attempt": int(delivery.sends) + 1,
    }
    return f'{json.dumps(head)[:-1]}, "payload": {delivery.payload}}}'
