"""Who is connected right now and who waits for news: the relay's only state outside its database."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from relay.announced import Agent, Announced
from relay.auth import Doors
from relay.protocol import Fetched
from relay.settings import Settings
from relay.tables import Delivery
from relay.writer import Writer

MOST_FETCHED = 1_000
"""So many results that were given out are remembered for a machine that is away: enough to count."""
ONLINE_S = 30.0
"""A machine counts as online when it was heard within this time."""


@dataclass(eq=False)
class Session:
    """One machine's open WebSocket."""

    machine: str
    work: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there may be something to send."""
    superseded: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the same machine opened a newer session."""
    ahead: deque[Delivery] = field(default_factory=deque)
    """What is about to be sent, and counts as sent already."""
    busy: int = 0
    queued: int = 0
    """How many tasks run and wait there, by its last heartbeat."""
    worker: bool = True
    """Whether its worker runs, by the same."""
    agents: list[Agent] = field(default_factory=list)
    """The assistants that it can call, as it said last."""


class Hub:
    """Presence by machine, wake-ups by machine and by task. Lives on the event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._sessions: dict[str, Session] = {}
        self._heard: dict[str, float] = {}
        self.announced: dict[str, Announced] = {}
        """What each machine last said about itself, also while it sleeps."""
        self._fetched: defaultdict[str, dict[tuple[str, int], float]] = defaultdict(dict)
        self._passed_over: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._watchers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self.is_stopping = False
        """Whether the relay is about to stop: nobody shall wait for news any more."""

    def join(self, session: Session) -> None:
        """From now on this is its machine's session; an older one is told to go."""
        if older := self._sessions.get(session.machine):
            older.superseded.set()
        self._sessions[session.machine] = session
        self.heard(session)

    def leave(self, session: Session) -> None:
        if self._sessions.get(session.machine) is session:
            del self._sessions[session.machine]

    def heard(self, session: Session) -> None:
        """Its machine is there, unless it has not joined yet or was replaced."""
        if self._sessions.get(session.machine) is not session:
            return
        self._heard[session.machine] = self.clock()

    def recall(self, machine: str, silent_s: float) -> None:
        """*machine* was heard so many seconds ago, before this relay was started."""
        self._heard.setdefault(machine, self.clock() - silent_s)

    def silence(self, machine: str) -> float | None:
        """Seconds since *machine* was heard; None when it never was."""
        heard = self._heard.get(machine)
        return None if heard is None else self.clock() - heard

    def is_online(self, machine: str) -> bool:
        """Whether *machine* has a session and was heard within ONLINE_S seconds."""
        return machine in self._sessions and self.clock() - self._heard[machine] <= ONLINE_S

    def session(self, machine: str) -> Session | None:
        """The session of *machine* while it is online."""
        return self._sessions.get(machine) if self.is_online(machine) else None

    def count_online(self) -> int:
        return sum(self.is_online(machine) for machine in self._sessions)

    def wake(self, machine: str) -> None:
        """There is something to send to *machine*."""
        if session := self._sessions.get(machine):
            session.work.set()

    def take_back(self, task_id: str) -> list[int]:
        """Deliveries about *task_id*, by `seq`, that were about to be sent: they are not, until somebody
        looks again what waits."""
        taken: list[int] = []
        for session in self._sessions.values():
            if found := [one.seq for one in session.ahead if one.task_id == task_id]:
                session.ahead = deque(one for one in session.ahead if one.task_id != task_id)
                session.work.set()
                taken += found
        return taken

    def pass_over(self, machine: str, delivery_ids: Iterable[str]) -> None:
        """A session of *machine* has ended in which it could have answered these and did not. A restart
        of the relay forgets it: what is never answered shows itself again."""
        self._passed_over[machine].update(delivery_ids)

    def answered(self, machine: str, delivery_ids: Iterable[str]) -> None:
        """*machine* did answer these."""
        for one in delivery_ids if self._passed_over[machine] else ():
            self._passed_over[machine].pop(one, None)

    def hopeless(self, machine: str, times: int) -> list[str]:
        """What *machine* passed over so many times. It is asked once: who asks gives them up."""
        found = [one for one, seen in self._passed_over[machine].items() if seen >= times]
        self.answered(machine, found)
        return found

    def tell(self, task_id: str) -> None:
        """There is news about *task_id*."""
        for watcher in self._watchers.get(task_id, ()):
            watcher.set()

    def stop(self) -> None:
        """The relay is about to stop: whoever waits for news goes on with what is known."""
        self.is_stopping = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.set()

    def give_out(self, machine: str, task_id: str, attempt: int) -> None:
        """Somebody was given the result of that attempt; *machine* hears of it with its next heartbeat.
        It is for statistics, so a restart of the relay may forget it."""
        fetched = self._fetched[machine]
        if len(fetched) < MOST_FETCHED:
            fetched.setdefault((task_id, attempt), self.clock())

    def take_given_out(self, machine: str) -> list[Fetched]:
        """What was given out since it was taken last."""
        now = self.clock()
        return [
            Fetched(task_id=task_id, attempt=attempt, ago_s=now - at)
            for (task_id, attempt), at in self._fetched.pop(machine, {}).items()
        ]

    @contextmanager
    def watch(self, task_id: str) -> Iterator[asyncio.Event]:
        """An event that is set at each piece of news about *task_id* while the block runs."""
        news = asyncio.Event()
        self._watchers[task_id].add(news)
        try:
            yield news
        finally:
            self._watchers[task_id].discard(news)
            if not self._watchers[task_id]:
                del self._watchers[task_id]


@dataclass(frozen=True)
class Relay:
    """Everything an endpoint needs; made once by `relay.app`."""

    settings: Settings
    doors: Doors
    writer: Writer
    hub: Hub
    now: Callable[[], float]
    """Wall clock in seconds since 1970, UTC: for what people read."""
    steady: Callable[[], float]
    """The same, but it never jumps: for what expires."""
