"""Presence and wake-ups."""

from __future__ import annotations

import asyncio

from relay.hub import ONLINE_S, Hub, Session


def joined(hub: Hub, machine: str) -> Session:
    session = Session(machine)
    hub.join(session)
    return session


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_machine_is_online_as_long_as_it_was_heard_lately() -> None:
    clock = Clock()
    hub = Hub(clock)
    assert not hub.is_online("laptop")
    session = joined(hub, "laptop")
    assert hub.is_online("laptop")
    clock.now += ONLINE_S
    assert hub.is_online("laptop")
    clock.now += 0.1
    assert not hub.is_online("laptop")
    assert hub.count_online() == 0
    assert hub.silence("laptop") == clock.now - 100.0
    hub.heard(session)
    assert hub.is_online("laptop")
    assert hub.silence("laptop") == 0.0
    hub.leave(session)
    clock.now += 5
    assert not hub.is_online("laptop")
    assert hub.silence("laptop") == 5.0
    assert hub.silence("tower") is None
    hub.leave(session)
    assert not hub.is_online("laptop")


def test_the_end_of_a_replaced_session_does_not_end_the_newer_one() -> None:
    hub = Hub(Clock())
    older, newer = joined(hub, "laptop"), joined(hub, "laptop")
    assert older.superseded.is_set()
    assert not newer.superseded.is_set()
    hub.leave(older)
    hub.heard(older)
    assert hub.is_online("laptop")
    hub.leave(newer)
    hub.leave(newer)
    assert hub.count_online() == 0


def test_machines_are_counted_and_woken_each_for_itself() -> None:
    hub = Hub(Clock())
    laptop, tower = joined(hub, "laptop"), joined(hub, "tower")
    assert hub.count_online() == 2
    hub.wake("tower")
    hub.wake("fridge")
    assert (laptop.work.is_set(), tower.work.is_set()) == (False, True)


def test_what_was_passed_over_is_counted_until_it_is_answered_or_given_up() -> None:
    hub = Hub()
    for _ in range(3):
        hub.pass_over("laptop", ["poison", "slow"])
        hub.pass_over("tower", ["other"])
    assert hub.hopeless("laptop", 4) == []
    hub.answered("laptop", ["slow", "never-seen"])
    assert hub.hopeless("laptop", 3) == ["poison"]
    assert hub.hopeless("laptop", 1) == []


def test_news_about_a_task_reach_all_who_watch_it_and_nobody_else() -> None:
    hub = Hub()
    with hub.watch("a") as first, hub.watch("a") as second, hub.watch("b") as other:
        hub.tell("a")
        hub.tell("nobody-watches")
        assert (first.is_set(), second.is_set(), other.is_set()) == (True, True, False)
    hub.tell("a")
    assert hub._watchers == {}


def test_a_watcher_waits_until_it_is_told() -> None:
    async def watch() -> bool:
        hub = Hub()
        with hub.watch("a") as news:
            asyncio.get_running_loop().call_soon(hub.tell, "a")
            return await asyncio.wait_for(news.wait(), 5)

    assert asyncio.run(watch())
