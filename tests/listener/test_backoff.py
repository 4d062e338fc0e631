"""How long to wait before the next try (pure)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener import backoff
from listener.backoff import Backoff
from listener.endings import is_hopeless

REAL = (1.0, 15.0)


@pytest.fixture(autouse=True)
def _real_times(_impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", REAL[0])
    monkeypatch.setattr(backoff, "LONGEST_S", REAL[1])


def test_the_ceiling_doubles_up_to_the_longest() -> None:
    waits = Backoff(lambda: 1.0)
    assert [waits.pause(0) for _ in range(7)] == [1, 2, 4, 8, 15, 15, 15]


def test_the_shortest_is_a_fifth_of_the_ceiling_so_that_a_try_never_follows_at_once() -> None:
    waits = Backoff(lambda: 0.0)
    assert [round(waits.pause(0), 3) for _ in range(5)] == [0.2, 0.4, 0.8, 1.6, 3.0]


def test_a_session_that_lasted_makes_it_begin_anew_and_a_short_one_does_not() -> None:
    waits = Backoff(lambda: 1.0)
    for _ in range(5):
        waits.pause(0)
    assert waits.pause(backoff.HEALTHY_S - 0.1) == 15
    assert waits.pause(backoff.HEALTHY_S) == 1
    assert waits.pause(1) == 2


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1)), max_size=60))
def test_every_pause_is_between_the_shortest_and_the_longest(tries: list[tuple[float, float]]) -> None:
    numbers = iter([number for _, number in tries])
    waits = Backoff(lambda: next(numbers))
    for session_s, _ in tries:
        assert 0.2 * REAL[0] <= waits.pause(session_s) <= REAL[1]


@given(st.integers(100, 599))
def test_only_a_refused_key_is_hopeless(status: int) -> None:
    assert is_hopeless(status) == (status in {401, 403})
