"""Is it worth having? How much runs, how well, of what kind, how fast, and does anybody look."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median
from threading import Lock

from relay.protocol import Status
from viewer import tallies
from viewer.seen import Seen
from viewer.tallies import Ended
from worker import models

PERIODS = {"7": "7 days", "30": "30 days", "90": "90 days", "all": "All"}
_MOST_BARS = 92
_MANY_GIT = 50
_DEAR_S, _KEPT_S = 0.25, 60.0
"""What took so long to count is shown for a minute, whatever has changed meanwhile."""


@dataclass(frozen=True)
class Bar:
    """One day, or several when the period is long."""

    first: date
    last: date
    done: int
    failed: int
    others: int  #: cancelled, or never run

    @property
    def total(self) -> int:
        return self.done + self.failed + self.others


@dataclass(frozen=True)
class Kind:
    """One action, or one sub-command of git."""

    name: str
    tasks: int
    share: float  #: of all that ran
    succeeded: float | None  #: of those done or failed
    typical_s: float | None
    slow_s: float | None  #: 95 of 100 are faster


@dataclass(frozen=True)
class Stats:
    """The answers for one period; None where there is nothing to tell from."""

    asked: int
    ran: int
    refused: int  #: before anything ran
    unstarted: int  #: that ended without having been started: cancelled, or not in time
    failed: int  #: of those that ran
    succeeded: float | None  #: of those that ran to an end of their own
    typical_s: float | None
    average_s: float | None
    waited_s: float | None
    reached: float | None  #: of the results, those that reached a person: told by whoever asked, or opened
    reached_after_s: float | None
    told: float | None  #: of those, what an assistant or a script was given to tell
    on_phone: float | None  #: of those that were opened
    retried: int
    retried_well: int
    approvals: int
    approved: int
    busiest_hour: int | None
    bars: Sequence[Bar]
    kinds: Sequence[Kind]
    git: Sequence[Kind]
    at: datetime

    @property
    def highest(self) -> int:
        """The most that one bar shows."""
        return max((bar.total for bar in self.bars), default=0) or 1


class Accountant:
    """Counts, and remembers what it has counted until something changes."""

    def __init__(self, seen: Seen, now: Callable[[], datetime]) -> None:
        self._seen = seen
        self._now = now
        self._kept: dict[str, tuple[object, float, float, Stats]] = {}
        self._lock = Lock()

    def of(self, period: str) -> Stats:
        """The answers for *period*, one of PERIODS."""
        with self._lock:
            key = (models.latest_rev(), self._seen.latest(), tallies.fetches(), self._now().date())
            if period in self._kept:
                kept_key, counted, took, stats = self._kept[period]
                if kept_key == key or (took > _DEAR_S and time.monotonic() - counted < _KEPT_S):
                    return stats
            begun = time.monotonic()
            stats = count(period, self._seen, self._now())
            self._kept[period] = key, time.monotonic(), time.monotonic() - begun, stats
            return stats


def count(period: str, seen: Seen, now: datetime) -> Stats:
    """The answers for *period*, counted now."""
    since = now - timedelta(days=int(period)) if period != "all" else None
    ended = tallies.ended(since)
    ran = [one for one in ended if one.has_run]
    refused = sum(one.is_refused for one in ended)
    times = sorted(one.seconds for one in ran if one.seconds is not None)
    counting_since = seen.since.timestamp()
    countable = sum(one.ended_at >= counting_since for one in ended)
    start = max(since or seen.since, seen.since)
    looks, told = seen.looks(start.isoformat(" ")), tallies.fetched(start)
    soonest = {**told, **{one: min(after, told.get(one, after)) for one, (after, _) in looks.items()}}
    retried = [one for one in ended if one.attempt > 1]
    hours = Counter(time.localtime(one.created_at).tm_hour for one in ended)
    approvals = [one for one in ended if one.was_asked]
    return Stats(
        asked=tallies.asked_since(since),
        ran=len(ran),
        refused=refused,
        unstarted=len(ended) - len(ran) - refused,
        failed=_number(ran, Status.FAILED),
        succeeded=_succeeded(ran),
        typical_s=_middle(times),
        average_s=sum(times) / len(times) if times else None,
        waited_s=_middle([one.started_at - one.created_at for one in ran if one.started_at is not None]),
        reached=_share(min(len(soonest), countable), countable),
        reached_after_s=_middle([*soonest.values()]),
        told=_share(len(told), len(soonest)),
        on_phone=_share(sum(through == "phone" for _, through in looks.values()), len(looks)),
        retried=len(retried),
        retried_well=_number(retried, Status.COMPLETED),
        approvals=len(approvals),
        approved=sum(one.was_approved for one in approvals),
        busiest_hour=hours.most_common(1)[0][0] if hours else None,
        bars=_bars(ended, since, now),
        kinds=_kinds(ran, lambda one: one.action),
        git=_git(ran),
        at=now,
    )


def _bars(ended: Sequence[Ended], since: datetime | None, now: datetime) -> list[Bar]:
    """Equal stretches of whole days, the last of which ends today."""
    days: dict[date, Counter[str]] = defaultdict(Counter)
    for one in ended:
        word = one.status if one.has_run and one.status != Status.CANCELLED else "others"
        days[date(*time.localtime(one.ended_at)[:3])][word] += 1
    today = now.astimezone().date()
    first = since.astimezone().date() + timedelta(days=1) if since else min(days, default=today)
    step = math.ceil(((today - first).days + 1) / _MOST_BARS)
    found = []
    last = today
    while last >= first:
        begin = last - timedelta(days=step - 1)
        total: Counter[str] = Counter()
        for offset in range(step):
            total += days.get(begin + timedelta(days=offset), Counter())
        found.append(Bar(begin, last, total["completed"], total["failed"], total["others"]))
        last = begin - timedelta(days=1)
    return found[::-1]


def _git(ran: Sequence[Ended]) -> list[Kind]:
    """git by sub-command, once there is enough of it to tell."""
    git = [one for one in ran if one.action == "git"]
    if len(git) <= _MANY_GIT:
        return []
    return _kinds(git, lambda one: " ".join(one.preview.split()[:2]))[:6]


def _kinds(ran: Sequence[Ended], name_of: Callable[[Ended], str]) -> list[Kind]:
    groups: dict[str, list[Ended]] = defaultdict(list)
    for one in ran:
        groups[name_of(one)].append(one)
    return [
        _kind(name, some, len(ran)) for name, some in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def _kind(name: str, ran: Sequence[Ended], of: int) -> Kind:
    times = sorted(one.seconds for one in ran if one.seconds is not None)
    slow = times[min(len(times) - 1, int(0.95 * len(times)))] if times else None
    return Kind(name, len(ran), len(ran) / of, _succeeded(ran), _middle(times), slow)


def _succeeded(ran: Sequence[Ended]) -> float | None:
    good = _number(ran, Status.COMPLETED)
    return _share(good, good + _number(ran, Status.FAILED))


def _number(ran: Sequence[Ended], status: Status) -> int:
    return sum(one.status == status for one in ran)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _middle(values: Sequence[float]) -> float | None:
    return median(values) if values else None
