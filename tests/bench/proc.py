"""What processes cost, by /proc: processor time and memory. Linux only."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from tests.chain import children_of

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Processor time that *pid* and its ended children have used so far, in steps of a tick (10 ms)."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def idle_cost(pids: Iterable[int], seconds: float) -> float:
    """Milliseconds of processor time per second that *pids* and their descendants use while we sleep."""
    everyone = _family(pids)
    before = sum(map(_on_cpu, everyone))
    time.sleep(seconds)
    return (sum(map(_on_cpu, everyone)) - before) * 1_000 / seconds


def megabytes(pids: Iterable[int]) -> float:
    """Proportional set size of *pids* and their descendants: shared pages count once between them."""
    return sum(map(_pss, _family(pids))) / 1_000_000


class Neighbours:
    """How much of the machine others used since this was made: figures beside busy neighbours say
    little. Counts what we and our ended descendants used as ours."""

    def __init__(self) -> None:
        self._begun = time.monotonic(), _busy(), _own()

    def cores(self) -> float:
        """How many cores they kept busy, on average."""
        at, busy, own = self._begun
        return max(0.0, (_busy() - busy - (_own() - own)) / (time.monotonic() - at))


def _busy() -> float:
    first = (PROC / "stat").read_text().splitlines()[0].split()
    user, nice, system, _idle, _waiting, irq, softirq, stolen = map(int, first[1:9])
    return (user + nice + system + irq + softirq + stolen) / TICKS


def _own() -> float:
    return sum(os.times()[:4])


def _family(pids: Iterable[int]) -> set[int]:
    return {one for pid in pids for one in (pid, *children_of(pid))}


def _on_cpu(pid: int) -> float:
    # By thread in nanoseconds; the ticks of /proc/PID/stat are too coarse for a process that sleeps.
    threads = (PROC / str(pid) / "task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def _pss(pid: int) -> int:
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1_024
    raise ValueError(f"the kernel does not tell the memory of process {pid}")
