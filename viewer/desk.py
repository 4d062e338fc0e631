"""What every page needs at hand, and what is too dear to be asked anew for each."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from flask import current_app

from relay.protocol import Status
from viewer import records
from viewer.own import OwnFile
from viewer.search import Index
from viewer.seen import Seen
from viewer.stats import Accountant
from viewer.strips import Strip, strips
from worker import models
from worker.inbox import Inbox, Signs, has_action

_LOOK_S = 0.5
"""Open pages together look at the signs of life this often at most."""


@dataclass(frozen=True)
class Counts:
    """How many tasks there are."""

    each: Mapping[tuple[str, str], int]

    def of(self, status: Status | None = None, action: str | None = None) -> int:
        """With this status and action; None is any."""
        return sum(
            number
            for (an_action, a_status), number in self.each.items()
            if status in {None, a_status} and action in {None, an_action}
        )

    @property
    def actions(self) -> list[str]:
        """Every action that was asked for, of those that there are: what was misspelt is none."""
        return sorted({action for action, _ in self.each if has_action(action)})


class Desk:
    """One for each viewer."""

    def __init__(self, inbox: Inbox, now: Callable[[], datetime]) -> None:
        self.inbox = inbox
        self.now = now
        own = OwnFile(models.output_dir().with_suffix(".viewer.db"))
        self.index = Index(own)
        self.seen = Seen(own, now)
        self.accountant = Accountant(self.seen, now)
        self._counts = (-1, Counts({}))
        self._signs: tuple[float, Signs] | None = None
        self._counting = threading.Lock()

    def start(self) -> None:
        """Keep the viewer's own file up with the records, in the background."""
        self.index.start(self.seen.forget)

    def counts(self) -> Counts:
        """As of now; counted again only when something has changed."""
        with self._counting:
            rev = models.latest_rev()
            if self._counts[0] != rev:
                self._counts = rev, Counts(records.counts())
            return self._counts[1]

    def signs(self) -> Signs:
        """Who runs, as of half a second ago at most."""
        if self._signs is None or time.monotonic() - self._signs[0] > _LOOK_S:
            self._signs = time.monotonic(), self.inbox.signs()
        return self._signs[1]

    def strips(self) -> list[Strip]:
        """What is wrong with this machine."""
        waiting, policy = self.counts().of(Status.PENDING), self.inbox.policy_problem()
        return strips(self.signs(), waiting, self.now(), policy)

    def version(self) -> str:
        """Changes whenever the list would look different."""
        wrong = zlib.crc32(repr([(one.text, one.since) for one in self.strips()]).encode())
        return f"{models.latest_rev()}.{self.seen.latest()}.{wrong:x}"


def desk() -> Desk:
    """The desk of the viewer that answers now."""
    found: Desk = current_app.extensions["desk"]
    return found
