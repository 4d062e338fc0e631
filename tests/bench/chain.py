"""The four real processes: from a caller's POST to the machine's record, and to the result in hand."""

from __future__ import annotations

import http.client
import json
import random
import time
from collections.abc import Callable, Iterator
from statistics import median

from tests.bench import load, proc
from tests.bench.folder import folder
from tests.bench.limit import STATUS, Limit
from tests.bench.table import Row, percentile
from tests.bench.watch import Watch
from tests.chain import API_KEY, Chain

SAMPLES, PAUSES = 100, 3
PAUSE_S, IDLE_S = 10.0, 20.0


def measure() -> Iterator[Row]:
    """Every row of this section."""
    with folder() as place, Chain(place, RATE_LIMIT_PER_MINUTE="0") as chain:
        chain.start()
        caller = _Caller(chain)
        yield from _one_by_one(caller, Limit(chain.project, chain.folder))
        caller.close()
        pids = [process.pid for process in chain.processes.values()]
        size = proc.megabytes(pids)
        time.sleep(2)
        yield Row("chain: all four idle", proc.idle_cost(pids, IDLE_S), "ms CPU/s", 15)
        yield Row("chain: memory of all four (PSS)", size, "MB", 200)


class _Caller:
    """Posts over one kept-open connection, and sees when the machine has recorded."""

    def __init__(self, chain: Chain) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", chain.relay_port, timeout=60)
        self._watch = Watch(chain.folder / "tasks.db")

    def close(self) -> None:
        self._watch.close()
        self._http.close()

    def recorded_ms(self) -> float:
        """Milliseconds from the first byte of a POST to the record."""
        begun = time.perf_counter()
        self._watch.until_completed(self._post("/webhook", 202)["task_id"])
        return (time.perf_counter() - begun) * 1_000

    def answered_ms(self) -> float:
        """Milliseconds from the first byte of a POST that waits to its answer with the result."""
        begun = time.perf_counter()
        task = self._post("/webhook?wait=20", 200)
        taken = (time.perf_counter() - begun) * 1_000
        assert task["status"] == "completed", task
        return taken

    def _post(self, path: str, expected: int) -> dict[str, str]:
        self._http.request("POST", path, load.command("git", STATUS), {"X-API-Key": API_KEY})
        answer = self._http.getresponse()
        said = answer.read()
        assert answer.status == expected, said
        return dict(json.loads(said))


def _one_by_one(caller: _Caller, limit: Limit) -> Iterator[Row]:
    kinds = (limit.once_ms, caller.recorded_ms, caller.answered_ms)
    limits, recorded, answered = _in_turn(kinds, SAMPLES, lambda: random.uniform(0.075, 0.225))
    floor = median(limits)
    yield Row("chain: POST -> recorded on the machine, p50", median(recorded), "ms", 3, limit=floor)
    worst = percentile(limits, 0.95)
    yield Row("chain: the same, p95", percentile(recorded, 0.95), "ms", limit=worst)
    yield Row("chain: POST ?wait=20 -> result in hand, p50", median(answered), "ms", 3.5, limit=floor)
    yield Row("chain: the same, p95", percentile(answered, 0.95), "ms", limit=worst)
    cold, first = _in_turn((limit.once_ms, caller.recorded_ms), PAUSES, lambda: PAUSE_S)
    what = f"chain: the first after a {PAUSE_S:.0f} s pause, recorded (median of {PAUSES})"
    yield Row(what, median(first), "ms", limit=median(cold))


def _in_turn(
    kinds: tuple[Callable[[], float], ...], samples: int, pause: Callable[[], float]
) -> list[list[float]]:
    """Each of *kinds* in turn, *samples* times, with a pause before each: what else the machine does
    then hits all of them alike."""
    times: list[list[float]] = [[] for _ in kinds]
    for _ in range(samples):
        for one, taken in zip(kinds, times, strict=True):
            time.sleep(pause())
            taken.append(one())
    return times
