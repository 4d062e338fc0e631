"""What the relay does by itself: what is late ends, what is old is forgotten, clocks that jump do no harm."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay import endings, sweep
from relay.writer import Unavailable
from tests.chain import wait_until
from tests.relay.conftest import Clocks, Served, serve

DAY = 86_400.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "PAUSE_S", 0.01)
    monkeypatch.setattr(sweep, "FORGET_EVERY", 1)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def relay(tmp_path: Path, clocks: Clocks) -> Iterator[Served]:
    with serve(tmp_path, clocks=clocks) as served:
        yield served


def is_swept(relay: Served) -> None:
    """Wait until a whole round has passed: what was due before has been done then."""
    due = "event = 'marker' AND state = 'waiting'"
    # Two, because a round that had begun already may be the one that takes the first.
    for _ in range(2):
        relay.post({"type": "marker"})
        relay.rows(f"UPDATE deliveries SET expires_at = 0 WHERE {due}")
        wait_until(lambda: not relay.rows(f"SELECT 1 FROM deliveries WHERE {due}"), "a round of the sweep")


def verdict(relay: Served, task_id: str) -> tuple[str, str | None]:
    task = relay.task(task_id)
    return task["status"], task["reason"]


def test_a_command_that_was_not_fetched_in_time_expires_and_whoever_waits_is_told(
    relay: Served, clocks: Clocks
) -> None:
    relay.command(task_id="t", ttl=60)
    relay.command(task_id="later", ttl=61)
    waiting = relay.later(lambda: relay.http.get("/tasks/t", params={"wait": 40}))
    clocks.pass_by(59)
    is_swept(relay)
    assert verdict(relay, "t") == ("pending", None)
    clocks.pass_by(1)
    task = waiting.result(20).json()
    assert (task["status"], task["reason"]) == ("failed", "expired")
    assert task["error"]
    assert task["summary"].startswith("It was not run. The machine did not take it in time")
    assert verdict(relay, "later") == ("pending", None)
    with relay.machine() as machine:
        assert machine.webhook()["payload"]["data"]["task_id"] == "later"
        assert machine.is_silent()


def test_a_command_that_is_on_its_way_gets_another_minute(relay: Served, clocks: Clocks) -> None:
    relay.command(task_id="t", ttl=60)
    with relay.machine() as machine:
        assert machine.webhook()["expires_in"] == 60
        clocks.pass_by(119)
        is_swept(relay)
        assert verdict(relay, "t") == ("pending", None)
        clocks.pass_by(1)
        wait_until(lambda: verdict(relay, "t") == ("failed", "expired"), "it expires")
        # The machine had it after all, and knows best.
        relay.report("t", status="completed", output="it ran")
    assert verdict(relay, "t") == ("completed", None)


def test_an_event_waits_a_week(relay: Served, clocks: Clocks) -> None:
    relay.post({"type": "note"}, headers={"webhook-id": "n"})
    state = "SELECT state FROM deliveries WHERE delivery_id = 'n'"
    clocks.pass_by(7 * DAY - 1)
    is_swept(relay)
    assert relay.rows(state) == [("waiting",)]
    clocks.pass_by(1)
    # Settled and a week old: it expires, and then it is forgotten.
    wait_until(lambda: relay.rows(state) in ([("dropped",)], []), "it expires")


@pytest.mark.parametrize("days", [2, -2])
def test_a_wall_clock_that_is_put_loses_nothing_and_expires_nothing(
    relay: Served, clocks: Clocks, days: float, caplog: pytest.LogCaptureFixture
) -> None:
    relay.command(task_id="before", ttl=60)
    is_swept(relay)
    with caplog.at_level(logging.WARNING, "relay.sweep"):
        clocks.wall += days * DAY
        is_swept(relay)
    assert f"The clock was put {days * DAY:+.0f} seconds; deadlines do not follow it." in caplog.messages
    relay.command(task_id="after", ttl=60)
    clocks.pass_by(59)
    is_swept(relay)
    with relay.machine() as machine:
        before, after = machine.webhook(), machine.webhook()
        assert [one["payload"]["data"]["task_id"] for one in (before, after)] == ["before", "after"]
        assert (before["expires_in"], after["expires_in"]) == (1, 1)
        machine.ack(before["delivery_id"], after["delivery_id"])
    clocks.pass_by(1)
    is_swept(relay)
    assert verdict(relay, "before") == verdict(relay, "after") == ("pending", None)


@pytest.mark.parametrize("days", [2, -2])
def test_a_machine_whose_clock_is_wrong_has_its_news_kept(
    tmp_path: Path, clocks: Clocks, days: float
) -> None:
    with serve(tmp_path, clocks=clocks, RELAY_RETENTION_DAYS="1") as relay:
        relay.command(task_id="t")
        clocks.pass_by(DAY / 2)
        ended = {2: "2027-01-17T08:00:00Z", -2: "2027-01-13T08:00:00Z"}[int(days)]
        relay.report("t", status="completed", completed_at=ended)
        is_swept(relay)
        assert verdict(relay, "t") == ("completed", None)


def test_what_is_old_is_forgotten_after_the_days_that_are_set(tmp_path: Path, clocks: Clocks) -> None:
    with serve(tmp_path, clocks=clocks, RELAY_RETENTION_DAYS="2") as relay:
        relay.command(task_id="t")
        relay.command(task_id="waits", ttl=604_800)
        with relay.machine() as machine:
            first, _ = machine.webhook(), machine.webhook()
            machine.ack(first["delivery_id"])
        relay.report("t", status="completed", completed_at="2027-01-15T08:00:01Z")
        clocks.pass_by(2 * DAY - 10)
        is_swept(relay)
        assert verdict(relay, "t") == ("completed", None)
        clocks.pass_by(60)
        wait_until(lambda: relay.http.get("/tasks/t").status_code == 404, "it is forgotten")
        assert verdict(relay, "waits") == ("pending", None)
        wait_until(lambda: relay.state("t") == [], "its delivery is forgotten")


@pytest.mark.parametrize("fault", [Unavailable("The disk is full"), ZeroDivisionError("a fault of ours")])
def test_one_bad_round_does_not_end_the_sweep(
    relay: Served, clocks: Clocks, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    rounds = 0
    really = endings.expire

    def failing(steady: float, now: float) -> list[str]:
        nonlocal rounds
        rounds += 1
        if rounds <= 3:
            raise fault
        return really(steady, now)

    monkeypatch.setattr(endings, "expire", failing)
    relay.command(task_id="t", ttl=1)
    clocks.pass_by(1)
    wait_until(lambda: verdict(relay, "t") == ("failed", "expired"), "a later round finds it")
    assert rounds > 3
