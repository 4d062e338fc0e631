"""The relay alone: how fast it accepts, and what bad company does to good requests."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.bench import load, proc, slow
from tests.bench.folder import folder
from tests.bench.load import Load, command, http
from tests.bench.table import Row, percentile
from tests.chain import Chain

ROUNDS, ROUND_S, CONNECTIONS = 3, 4.0, 32
MAX_BODY_BYTES = 1_048_576

PROMPT = (
    "Review the pull request that came in this morning. Look at the tests first: do they fail without the "
    "change? Then read the change itself, file by file, and note what a careful reader would stumble over. "
    "Say for each remark whether it must be fixed before we merge or may wait. Do not change anything; I "
    "read the remarks on the way home and decide then what you shall do about them. Keep it short enough "
    "to be read aloud, and begin with the one remark that matters most."
)
BODY = command(
    "claude_code",
    {"prompt": PROMPT, "project": "ai-webhook", "mode": "review", "timeout": 900},
    title="Review the pull request from this morning",
    ttl=3_600,
)
GOOD = http(BODY)


def measure() -> Iterator[Row]:
    """Every row of this section."""
    yield from _accepting()
    yield from _slow_company()
    yield from _malformed_company()
    yield from _edges()


@contextmanager
def _relay() -> Iterator[tuple[int, int]]:
    """A fresh relay without a rate limit; its port and process id."""
    with folder() as place, Chain(place, RATE_LIMIT_PER_MINUTE="0") as chain:
        chain.start("relay")
        yield chain.relay_port, chain.processes["relay"].pid


def _accepting() -> Iterator[Row]:
    rounds: list[tuple[Load, float, float]] = []
    singles: list[Load] = []
    for _ in range(ROUNDS):
        with _relay() as (port, pid):
            load.run(port, [("good", GOOD)], connections=CONNECTIONS, seconds=0.5)
            singles.append(load.run(port, [("good", GOOD)], connections=1, seconds=1.5))
            before = proc.cpu_seconds(pid)
            done = load.run(port, [("good", GOOD)], connections=CONNECTIONS, seconds=ROUND_S)
            used = proc.cpu_seconds(pid) - before
            rounds.append((done, used, proc.megabytes([pid])))
            _only(done, "good 202")
    done, used, size = max(rounds, key=lambda one: one[0].rate)
    one = min(singles, key=lambda single: single.at(0.5))
    yield Row(f"relay: durable accepts of {len(BODY)} bytes, 32 connections", done.rate, "/s", 2_500, True)
    yield Row("relay: the same, p50", done.at(0.5), "ms")
    yield Row("relay: the same, p99", done.at(0.99), "ms", 50)
    yield Row("relay: the same, the worst round's p99", max(r[0].at(0.99) for r in rounds), "ms", 50)
    yield Row("relay: CPU for one accepted request", used / len(done.times_ms) * 1e6, "µs")
    yield Row("relay: the load generator's share of a core", done.cpu_seconds / done.seconds * 100, "%")
    yield Row("relay: memory after that (PSS)", size, "MB")
    yield Row("relay: durable accept, one connection, p50", one.at(0.5), "ms", 2)
    yield Row("relay: the same, p99", one.at(0.99), "ms")


def _slow_company() -> Iterator[Row]:
    with _relay() as (port, _), slow.clients(port, 200) as crowd:
        times_ms = _one_after_another(port, per_second=20, seconds=10)
        reopened = crowd.reopened
    yield Row("relay: good requests beside 200 slow clients, p99", percentile(times_ms, 0.99), "ms", 250)
    yield Row("relay: slow clients that the relay sent away meanwhile", reopened, "")


def _one_after_another(port: int, *, per_second: float, seconds: float) -> list[float]:
    """Good requests on time, each on a new connection, as phones come; how long each took from the
    moment it was due. Raises AssertionError when one is refused."""
    begun = time.perf_counter()
    times_ms = []
    for number in range(int(per_second * seconds)):
        due = begun + number / per_second
        time.sleep(max(0.0, due - time.perf_counter()))
        status = _status(port, GOOD)
        assert status == 202, f"a good request was answered with {status}"
        times_ms.append((time.perf_counter() - due) * 1_000)
    return times_ms


def _malformed_company() -> Iterator[Row]:
    requests = []
    for bad in MALFORMED:
        requests += [("bad", http(bad)), *[("good", GOOD)] * 31]
    with _relay() as (port, _):
        done = load.run(port, requests, connections=CONNECTIONS, seconds=ROUND_S)
    good, bad = _count(done, "good"), _count(done, "bad")
    refused = sum(good.values()) - good.get(202, 0)
    wrong = sum(count for status, count in bad.items() if not 400 <= status < 500)
    assert good.get(202), f"nothing was accepted: {done.answers}"
    yield Row("relay: accepts with 1 malformed in 32", done.rate, "/s")
    yield Row("relay: the good ones among them that were refused", refused, f"of {sum(good.values())}", 0)
    yield Row("relay: the malformed ones without a 4xx", wrong, f"of {sum(bad.values())}", 0)


MALFORMED = (
    b'{"type": "task_command", "data": {"action_type": "git", "params": ',
    b'{"type": "task_command", "data": {"action_type": "git", "ttl": NaN}}',
    b'{"type": "task_command", "data": {"action_type": ["a list"], "params": {}}}',
    b'{"type": "task_command", "data": {"action_type": "git", "title": "\\ud800"}}',
    b'{"type": "task_command", "type": "task_command"}',
    b"[" * 10_000,
)


def _edges() -> Iterator[Row]:
    deep = b'{"a": ' * 100_000 + b"1" + b"}" * 100_000
    cases = {
        "a body of 1 MiB": (http(_sized(MAX_BODY_BYTES)), range(202, 203)),
        "a body of 1 MiB and a byte": (http(_sized(MAX_BODY_BYTES + 1)), range(413, 414)),
        "JSON that is 100 000 levels deep": (http(deep), range(400, 500)),
        "a good request after these": (GOOD, range(202, 203)),
    }
    with _relay() as (port, _):
        seen = {what: _status(port, raw) for what, (raw, _) in cases.items()}
    wrong = [f"{what}: {seen[what]}" for what, (_, right) in cases.items() if seen[what] not in right]
    listed = f" ({'; '.join(wrong)})" if wrong else ""
    yield Row(f"relay: sizes and depths that were answered wrongly{listed}", len(wrong), "of 4", 0)


def _sized(size: int) -> bytes:
    frame = command("shell", {"command": ["echo", ""]})
    return command("shell", {"command": ["echo", "x" * (size - len(frame))]})


def _status(port: int, raw: bytes) -> int:
    """The status of one request on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.settimeout(30)
        # Refused before all of it was sent; the answer is there all the same.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(raw)
        head = b""
        while b"\r\n" not in head:
            more = connection.recv(4_096)
            assert more, "the relay closed the connection without an answer"
            head += more
        return int(head[9:12])


def _count(done: Load, kind: str) -> dict[int, int]:
    return {int(a.split()[1]): n for a, n in done.answers.items() if a.split()[0] == kind}


def _only(done: Load, expected: str) -> None:
    assert set(done.answers) == {expected}, f"only {expected!r} was expected, not {dict(done.answers)}"
