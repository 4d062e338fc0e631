"""Nothing accepted is lost and nothing runs twice, whatever dies, hangs, fills up or jumps.

`make test` runs a short form, `make faults` (FAULTS=long) the long one. The commands themselves
write a ledger, one line each time they are started; that is what is believed, not our records.
"""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chain import Chain, wait_until
from tests.proxy import Mood, Proxy

LONG = os.environ.get("FAULTS") == "long"
WORKERS = 4

only_long = pytest.mark.skipif(not LONG, reason="part of the long form: make faults")


class Storm:
    """A chain behind a bad network, somebody who posts, and somebody who kills."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.chain = Chain(folder, RATE_LIMIT_PER_MINUTE="0")
        self.proxy = Proxy(self.chain.relay_port)
        for part in ("listener", "worker"):
            self.chain.environment[part] = {"RELAY_SERVER_URL": f"http://127.0.0.1:{self.proxy.port}"}
        self.ledger = folder / "ledger"
        self.ledger.touch()
        self.accepted: list[str] = []
        self.kills: Counter[str] = Counter()
        self.slowest_accept = 0.0
        self._deck: list[str] = []

    def post(self, task_id: str, **more: Any) -> None:
        """Like a patient sender: the same request again until the relay says yes."""
        line = f'echo "$0" >> {self.ledger}'
        params = {"command": ["/bin/sh", "-c", line, task_id]}
        begun = time.monotonic()
        while True:
            try:
                self.chain.command("shell", params, task_id=task_id, wait=0, **more)
            except httpx.TransportError:
                assert time.monotonic() - begun < 30, "the relay was away for too long"
                time.sleep(0.02)
                continue
            self.slowest_accept = max(self.slowest_accept, time.monotonic() - begun)
            self.accepted.append(task_id)
            return

    def post_many(self, name: str, count: int, per_second: float) -> threading.Thread:
        """Post beside whatever else happens."""

        def work() -> None:
            begun = time.monotonic()
            for number in range(count):
                time.sleep(max(0.0, begun + number / per_second - time.monotonic()))
                self.post(f"{name}-{number}")

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def strike(self) -> None:
        """Kill a process and start it again, or hurt the network."""
        if not self._deck:
            self._deck = ["relay", "listener", "worker", "relay", "listener", "worker", "network"]
            self.random.shuffle(self._deck)
        what = self._deck.pop()
        if what == "network":
            self.random.choice((self.proxy.reset, self._hole))()
            return
        self.kills[what] += 1
        self.chain.kill(what)
        self.chain.spawn(what)

    def _hole(self) -> None:
        self.proxy.mood = Mood.BLACK_HOLE
        time.sleep(self.random.uniform(0.1, 1.0))
        self.proxy.mood = Mood.PASS

    def settle(self) -> dict[str, dict[str, Any]]:
        """Heal everything and wait for the end of every accepted command."""
        self.proxy.mood = Mood.PASS
        self.chain.wait_for("relay", "listener", "worker")
        return self.chain.final(self.accepted)

    def check(self, tasks: dict[str, dict[str, Any]]) -> None:
        """The invariants of docs/PROTOCOL.md."""
        starts = Counter(self.ledger.read_text().split())
        assert [one for one, count in starts.items() if count > 1] == [], "started twice"
        completed = [one for one, task in tasks.items() if task["status"] == "completed"]
        assert [one for one in completed if starts[one] != 1] == [], "completed without having run"
        others = [task for task in tasks.values() if task["status"] != "completed"]
        assert {task["reason"] for task in others} <= {"interrupted"}
        assert len(others) <= self.kills["worker"] * WORKERS
        self.chain.stop()
        for name in ("relay.db", "tasks.db"):
            with sqlite3.connect(self.chain.folder / name) as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            database.close()


@contextmanager
def storm(folder: Path, seed: int) -> Iterator[Storm]:
    one = Storm(folder, seed)
    with one.chain:
        try:
            yield one
        finally:
            one.proxy.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2, 3] if LONG else [1])
def test_kills_and_a_bad_network_lose_nothing_and_repeat_nothing(tmp_path: Path, seed: int) -> None:
    commands, per_second, strikes = (2_000, 50.0, 70) if LONG else (150, 30.0, 7)
    with storm(tmp_path, seed) as one:
        one.chain.start("relay", "listener", "worker")
        poster = one.post_many(f"s{seed}", commands, per_second)
        for _ in range(strikes):
            time.sleep(one.random.uniform(0.3, 1.0))
            one.strike()
        while LONG and sum(one.kills.values()) < 60:
            one.strike()
            time.sleep(0.5)
        poster.join(300)
        assert not poster.is_alive()
        begun = time.monotonic()
        tasks = one.settle()
        drained = time.monotonic() - begun
        one.check(tasks)
        assert len(tasks) == commands
    kinds = Counter(task["reason"] or task["status"] for task in tasks.values())
    print(
        f"seed {seed}: {commands} commands, kills {dict(one.kills)}, {dict(kinds)}, "
        f"slowest accept {one.slowest_accept:.2f} s, drained in {drained:.1f} s"
    )


@pytest.mark.parametrize(
    "fault", ["reset", pytest.param("lose", marks=only_long), pytest.param("hole", marks=only_long)]
)
def test_after_the_network_is_healed_the_next_command_arrives(tmp_path: Path, fault: str) -> None:
    with storm(tmp_path, 0) as one:
        one.chain.start("relay", "listener", "worker")
        one.post("before")
        one.settle()
        if fault == "hole":
            one.proxy.mood = Mood.BLACK_HOLE
            one.post("during")
            time.sleep(30)
            one.proxy.mood = Mood.PASS
        else:
            getattr(one.proxy, fault)()
            one.post("during")
        healed = time.time()
        tasks = one.chain.final(one.accepted)
        heard = time.time() - healed
        delivered = _created(one.chain, "during") - healed
        one.check(tasks)
    print(f"{fault}: delivered {delivered:.1f} s after healing, the result was back after {heard:.1f} s")
    assert delivered <= 25
    assert heard <= 35


@only_long
@pytest.mark.timeout(600)
def test_ten_thousand_commands_that_waited_are_done_within_a_minute(tmp_path: Path) -> None:
    with storm(tmp_path, 0) as one:
        one.chain.start("relay")
        with ThreadPoolExecutor(8) as senders:
            list(senders.map(one.post, [f"b-{number}" for number in range(10_000)]))
        begun = time.monotonic()
        one.chain.spawn("listener")
        one.chain.spawn("worker")
        # Asking the relay ten thousand times would be part of what is measured.
        wait_until(lambda: not _is_any_open(one.chain), "the relay has the last result", 300, look=0.5)
        taken = time.monotonic() - begun
        one.check(one.chain.final(one.accepted))
    print(f"backlog of 10 000: {taken:.1f} s from the start of the machine to the last result")
    assert taken <= 60


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A folder on a disk of its own. Only root may make one."""
    folder.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],
            check=False,
            capture_output=True,
        ).returncode
    ):
        pytest.skip("needs the right to mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def grow(folder: Path, megabytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={megabytes}m", str(folder)], check=True)


def test_a_full_disk_at_the_relay_is_a_503_and_what_was_accepted_runs(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2) as disk:
        chain = Chain(tmp_path, RATE_LIMIT_PER_MINUTE="0", RELAY_SQLITE_PATH=str(disk / "relay.db"))
        with chain:
            chain.start("relay")
            accepted, refused = [], 0
            for number in range(100):
                data = {
                    "task_id": f"full-{number}",
                    "action_type": "shell",
                    "params": {"command": ["echo", "x" * 30_000]},
                }
                answer = chain.post({"type": "task_command", "data": data}, wait=0)
                assert answer.status_code in {202, 503}, answer.text
                if answer.status_code == 202:
                    accepted.append(f"full-{number}")
                else:
                    assert answer.headers["retry-after"]
                    refused += 1
            assert accepted
            assert refused
            grow(disk, 64)
            chain.start("listener", "worker")
            tasks = chain.final(accepted)
            assert {task["status"] for task in tasks.values()} == {"completed"}


def test_a_full_disk_at_the_machine_only_delays(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        chain = Chain(tmp_path, RATE_LIMIT_PER_MINUTE="0", SQLITE_PATH=str(disk / "tasks.db"))
        with chain:
            chain.start("relay", "listener")
            ids = [f"tight-{number}" for number in range(40)]
            for one in ids:
                chain.command("shell", {"command": ["echo", "x" * 30_000]}, task_id=one, wait=0)
            wait_until(lambda: "cannot be written" in chain.log("listener"), "the disk is full")
            grow(disk, 64)
            chain.start("worker")
            tasks = chain.final(ids)
            assert {task["status"] for task in tasks.values()} == {"completed"}


@pytest.mark.parametrize("days", [2, -2])
def test_a_clock_that_jumps_loses_nothing_and_wrongly_runs_nothing(tmp_path: Path, days: int) -> None:
    clock = tmp_path / "clock"
    clock.write_text("0")
    with Chain(tmp_path) as chain:
        chain.launcher = [str(Path(__file__).parent / "skewed.py"), str(clock)]
        chain.start("relay", "listener")
        chain.command("shell", {"command": "echo good"}, task_id="good", ttl=3_600, wait=0)
        chain.command("shell", {"command": f"echo late >> {tmp_path}/late"}, task_id="late", ttl=1, wait=0)
        wait_until(lambda: len(_rows(chain)) == 2, "the machine has both")
        clock.write_text(str(days * 86_400))
        wait_until(lambda: abs(_date(chain) - time.time()) > 86_400, "the relay's clock has jumped")
        time.sleep(1)  # The second one's time passes; nothing else to wait for.
        chain.start("worker")
        tasks = chain.final(["good", "late"])
    assert (tasks["good"]["status"], tasks["good"]["output"]) == ("completed", "good\n"), tasks["good"]
    assert (tasks["late"]["status"], tasks["late"]["reason"]) == ("failed", "expired")
    assert not (tmp_path / "late").exists()


def _is_any_open(chain: Chain) -> bool:
    """Whether the relay still waits for news of a task; asked of its file, so that it costs it nothing."""
    database = sqlite3.connect(f"file:{chain.folder / 'relay.db'}?mode=ro", uri=True)
    try:
        final = "('completed', 'failed', 'cancelled')"
        found = database.execute(f"SELECT 1 FROM tasks WHERE status NOT IN {final} LIMIT 1").fetchone()
    finally:
        database.close()
    return found is not None


def _rows(chain: Chain) -> list[Any]:
    database = sqlite3.connect(chain.folder / "tasks.db")
    try:
        return database.execute("SELECT id FROM tasks").fetchall()
    finally:
        database.close()


def _created(chain: Chain, task_id: str) -> float:
    """When the machine wrote the task down, in seconds since 1970."""
    database = sqlite3.connect(chain.folder / "tasks.db")
    try:
        ((text,),) = database.execute("SELECT created_at FROM tasks WHERE id = ?", (task_id,)).fetchall()
    finally:
        database.close()
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _date(chain: Chain) -> float:
    return datetime.fromisoformat(chain.get(chain.relay).json()["timestamp"]).timestamp()
