"""How often somebody may knock (pure)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.limits import Buckets


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.integers(1, 600), st.lists(st.floats(0, 90), min_size=1, max_size=200))
def test_in_no_stretch_of_time_are_there_more_than_a_full_bucket_and_the_rate(
    per_minute: int, pauses: list[float]
) -> None:
    clock = Clock()
    buckets = Buckets(per_minute, clock)
    taken: list[float] = []
    for pause in pauses:
        clock.now += pause
        for _ in range(3):
            if buckets.take("x") == 0:
                taken.append(clock.now)
    for first in range(len(taken)):
        allowed = per_minute + (taken[-1] - taken[first]) * per_minute / 60
        assert len(taken) - first <= allowed + 1e-6


@given(st.integers(1, 600), st.integers(0, 700))
def test_whoever_waits_as_long_as_told_gets_in_and_not_before(per_minute: int, asked: int) -> None:
    clock = Clock()
    buckets = Buckets(per_minute, clock)
    answers = [buckets.take("x") for _ in range(asked)]
    assert answers.count(0) == min(asked, per_minute)
    if seconds := buckets.take("x"):
        assert 0 < seconds <= 60 / per_minute + 1e-9
        clock.now += seconds * 0.99
        assert buckets.take("x") > 0
        clock.now += seconds * 0.01 + 1e-6
        assert buckets.take("x") == 0


@given(st.lists(st.text(max_size=3)))
def test_zero_means_no_limit(names: list[str]) -> None:
    buckets = Buckets(0, Clock())
    assert [buckets.take(name) for name in names] == [0] * len(names)
    assert not buckets._buckets


def test_one_name_does_not_use_up_what_is_another_ones() -> None:
    buckets = Buckets(1, Clock())
    assert buckets.take("a") == 0
    assert buckets.take("a") == 60
    assert buckets.take("b") == 0


def test_a_quiet_bucket_does_not_fill_above_its_rim() -> None:
    clock = Clock()
    buckets = Buckets(2, clock)
    buckets.take("a")
    clock.now = 1e9
    assert [buckets.take("a") == 0 for _ in range(3)] == [True, True, False]


def test_strangers_without_number_take_no_memory_and_the_busiest_is_remembered() -> None:
    buckets = Buckets(1, Clock(), most=10)
    buckets.take("busy")
    for number in range(1_000):
        buckets.take(str(number))
        assert buckets.take("busy") > 0
        assert len(buckets._buckets) <= 10
