"""Commands that waited while the machine was away: how long until the last result is at the relay.

BACKLOG says how many (default 2 000; the bar is set for 10 000)."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench import load
from tests.bench.folder import folder
from tests.bench.table import Row
from tests.bench.watch import FINAL
from tests.chain import Chain

LOOK_S = 0.2
MAX_S = 600.0


def measure() -> Iterator[Row]:
    """Every row of this section."""
    count = int(os.environ.get("BACKLOG", "2000"))
    # The shortest program there is: what is measured is our work around it.
    body = load.command("shell", {"command": ["true"], "project": "ai-webhook"})
    with folder() as place, Chain(place, RATE_LIMIT_PER_MINUTE="0") as chain:
        chain.start("relay")
        accepted = load.run(chain.relay_port, [("good", load.http(body))] * count)
        assert set(accepted.answers) == {"good 202"}, accepted.answers
        begun = time.monotonic()
        chain.spawn("listener")
        chain.spawn("worker")
        _wait_until_final(chain.folder / "relay.db")
        taken = time.monotonic() - begun
        _check(chain.folder / "relay.db", count)
    shown = f"{count:,}".replace(",", " ")
    yield Row(f"backlog: {shown} accepted while the machine is away", accepted.rate, "/s")
    yield Row("backlog: start of the machine -> last result at the relay", taken, "s", count * 60 / 10_000)
    yield Row("backlog: the same, as a rate", count / taken, "/s", 10_000 / 60, True)


def _wait_until_final(path: Path) -> None:
    """Return when no task is open. Seen in the file and not through the relay, which has enough to
    do; up to LOOK_S late."""
    deadline = time.monotonic() + MAX_S
    text = f"SELECT 1 FROM tasks WHERE status NOT IN {FINAL} LIMIT 1"
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        while database.execute(text).fetchone():
            assert time.monotonic() < deadline, f"there were open tasks after {MAX_S:.0f} seconds"
            time.sleep(LOOK_S)
    finally:
        database.close()


def _check(path: Path, count: int) -> None:
    """Raises AssertionError unless each of *count* tasks has been completed."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        seen = dict(database.execute("SELECT status, count(*) FROM tasks GROUP BY status"))
        assert seen == {"completed": count}, seen
    finally:
        database.close()
