"""What is on its way to a machine and how it is written down (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf

from relay.tables import Delivery

WINDOW = 32
"""How many webhooks may be on their way to a machine without an acknowledgement."""
WINDOW_BYTES = 1_048_576
"""How many bytes of payload may be; one larger message travels alone."""
ENVELOPE_BYTES = 2_048
"""More than the frame round a payload ever takes."""
ACK_S = 30.0
"""A machine that answers nothing for so long is asked to connect again."""


@dataclass(frozen=True)
class _Sent:
    seq: int
    size: int
    at: float
    number: int


class Window:
    """The deliveries of one session that were sent and not answered yet.

    State is kept per message, not as a cursor: a message that is answered late or never
    holds nobody else up. Redelivery happens in the next session only."""

    def __init__(self, size: int = WINDOW, size_bytes: int = WINDOW_BYTES) -> None:
        self._size = size
        self._size_bytes = size_bytes
        self._in_flight: dict[str, _Sent] = {}
        self._number = 0
        self._last_answered = 0
        self._alive_at: float | None = None

    @property
    def room(self) -> int:
        """How many more may be sent."""
        return self._size - len(self._in_flight)

    @property
    def in_flight(self) -> list[int]:
        """The `seq` numbers that must not be sent again in this session."""
        return [sent.seq for sent in self._in_flight.values()]

    @property
    def overdue_at(self) -> float | None:
        """When the oldest unanswered message has waited ACK_S seconds; None when none waits."""
        oldest = min((sent.at for sent in self._in_flight.values()), default=None)
        return None if oldest is None else oldest + ACK_S

    def fit(self, waiting: Sequence[tuple[int, int]]) -> list[int]:
        """Of what waits, as `(seq, bytes)` in order, the `seq` numbers that may be sent now."""
        used = sum(sent.size for sent in self._in_flight.values())
        chosen: list[int] = []
        for seq, size in waiting[: self.room]:
            if used + size > self._size_bytes and (self._in_flight or chosen):
                break
            used += size
            chosen.append(seq)
        return chosen

    def sent(self, delivery_id: str, seq: int, size: int, at: float) -> None:
        """A message of *size* bytes was sent at *at*, on a clock that never goes back."""
        self._number += 1
        self._in_flight[delivery_id] = _Sent(seq, size, at, self._number)

    def answered(self, delivery_ids: Iterable[str]) -> list[str]:
        """Take these out. Returns those that were in flight; others mean nothing to us."""
        found = [one for one in dict.fromkeys(delivery_ids) if one in self._in_flight]
        numbers = [self._in_flight.pop(one).number for one in found]
        self._last_answered = max([self._last_answered, *numbers])
        return found

    def alive(self, at: float) -> None:
        """At *at* the part of the machine that answers messages has said something else."""
        self._alive_at = at

    def passed_over(self, now: float) -> list[str]:
        """What the machine could have answered and did not: it answered what was sent after it, or lived
        on until the message was overdue. A machine that answers nothing, because its records are locked
        or the line is cut, has passed over nothing."""
        alive = -inf if self._alive_at is None else self._alive_at
        return [
            one
            for one, sent in self._in_flight.items()
            if sent.number < self._last_answered or (sent.at < alive and sent.at + ACK_S <= now)
        ]


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
    # Left out where it says nothing new: machines that do not know it yet refuse the frame.
    if delivery.first_caller is not None:
        head["first_caller"] = delivery.first_caller
    return f'{json.dumps(head)[:-1]}, "payload": {delivery.payload}}}'
