"""What the listener needs of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from relay.announced import Announced
from relay.protocol import Fetched, Webhook
from worker.inbox import Unacceptable


class Inbox(Protocol):
    """The machine's one door, as far as the listener goes through it."""

    def accept(self, webhooks: Sequence[Webhook]) -> list[Unacceptable | None]:
        """Put *webhooks* on disk; for each, why it can never be taken, or None. Raises Unavailable."""

    def load(self) -> tuple[int, int]:
        """How many tasks run, and how many wait for a free worker."""

    def worker_runs(self) -> bool:
        """Whether there is somebody to start what waits."""

    def announced(self) -> Announced:
        """What may be asked for here, as the policy says it now, and which assistants can be called."""

    def note_fetched(self, fetched: Sequence[Fetched]) -> None:
        """Leave word for people which results callers were given."""

    def tell_link(self, machine: str, version: str, *, is_open: bool) -> None:
        """Leave word for people whether there is a session with the relay."""
