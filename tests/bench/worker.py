"""The machine alone: from the inbox to the record. The relay runs and takes the reports, because that
is part of the work, but nothing is measured through it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from statistics import median

from relay.delivery import WINDOW
from relay.protocol import Command
from tests.bench import load, proc
from tests.bench.folder import folder
from tests.bench.limit import STATUS, Limit
from tests.bench.table import Row, percentile
from tests.bench.watch import Watch
from tests.chain import MACHINE_KEY, Chain
from tests.door import said
from worker import models
from worker.inbox import Inbox, open_inbox
from worker.settings import Settings

SAMPLES, WORKERS, ROUNDS, BURST = 200, 4, 3, 400
IDLE_S = 20.0


def measure() -> Iterator[Row]:
    """Every row of this section."""
    with folder() as place, Chain(place, RATE_LIMIT_PER_MINUTE="0") as chain:
        chain.start("relay", "worker")
        bench = _Machine(chain)
        try:
            yield from _one_by_one(bench)
            yield from _at_once(bench)
        finally:
            bench.close()
        pid = chain.processes["worker"].pid
        size = proc.megabytes([pid])
        time.sleep(2)
        yield Row("worker: idle", proc.idle_cost([pid], IDLE_S), "ms CPU/s", 5)
        yield Row("worker: memory (PSS)", size, "MB", 90)


class _Machine:
    """The inbox in this process, the worker in its own, and the limit beside it."""

    def __init__(self, chain: Chain) -> None:
        self.limit = Limit(chain.project, chain.folder)
        self._inbox: Inbox = open_inbox(
            Settings.read(
                {
                    "MACHINE_KEY": MACHINE_KEY,
                    "SQLITE_PATH": str(chain.folder / "tasks.db"),
                    "QUEUE_URL": str(chain.folder / "queue.db"),
                    "POLICY_PATH": str(chain.folder / "policy.toml"),
                }
            )
        )
        self._watch = Watch(chain.folder / "tasks.db")
        self._port = chain.relay_port
        self._names = iter(range(1_000_000))
        self._done = 0

    def close(self) -> None:
        self._watch.close()
        models.database.close()

    def announce(self, count: int) -> list[Command]:
        """Commands that the relay knows, so that it takes the reports on them."""
        ids = [f"bench-{next(self._names)}" for _ in range(count)]
        requests = [("good", load.http(load.command("git", STATUS, task_id=one))) for one in ids]
        answers = load.run(self._port, requests).answers
        assert set(answers) == {"good 202"}, answers
        return [Command(task_id=one, action_type="git", params=STATUS) for one in ids]

    def once_ms(self, command: Command) -> float:
        """Milliseconds from the inbox to the record."""
        webhooks = [said(command)]
        begun = time.perf_counter()
        self._inbox.accept(webhooks)
        self._watch.until_completed(command.task_id)
        self._done += 1
        return (time.perf_counter() - begun) * 1_000

    def per_second(self, count: int) -> float:
        """How many a second, when *count* come at once: as many together as the relay hands out."""
        webhooks = [said(command) for command in self.announce(count)]
        begun = time.perf_counter()
        for start in range(0, count, WINDOW):
            self._inbox.accept(webhooks[start : start + WINDOW])
        self._done += count
        self._watch.until_all_final(self._done)
        return count / (time.perf_counter() - begun)


def _one_by_one(bench: _Machine) -> Iterator[Row]:
    ours, limits = [], []
    for command in bench.announce(SAMPLES):
        for measured, once in ((ours, lambda c=command: bench.once_ms(c)), (limits, bench.limit.once_ms)):
            # As far apart as people speak, so that neither finds warm caches or a queue.
            time.sleep(random.uniform(0.075, 0.225))
            measured.append(once())
    yield Row("worker: git status, accepted -> recorded, p50", median(ours), "ms", 1.5, limit=median(limits))
    least = percentile(limits, 0.95)
    yield Row("worker: the same, p95", percentile(ours, 0.95), "ms", 2, limit=least)


def _at_once(bench: _Machine) -> Iterator[Row]:
    ours, limits = [], []
    for _ in range(ROUNDS):
        limits.append(bench.limit.per_second(BURST, WORKERS))
        ours.append(bench.per_second(BURST))
        # Reports of the last round must not be sent during the next one's limit.
        time.sleep(1.5)
    what = f"worker: {BURST} git status at once, {WORKERS} workers"
    yield Row(what, max(ours), "/s", 0.7, True, limit=max(limits))
