"""The clock that deadlines are made on."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from relay.clock import since_boot, steady_clock


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(-2e5, 2e5)), max_size=20))
def test_it_goes_on_evenly_however_the_wall_clock_is_put(steps: list[tuple[float, float]]) -> None:
    wall, since = 1_800_000_000.0, 100.0
    clock = steady_clock(lambda: wall, lambda: since)
    assert clock() == wall
    begun, passed = clock(), 0.0
    for seconds, jump in steps:
        since += seconds
        wall += seconds + jump
        passed += seconds
        assert abs(clock() - begun - passed) < 1e-3


def test_it_begins_with_the_time_of_day() -> None:
    assert abs(steady_clock()() - time.time()) < 5
    assert since_boot() <= since_boot()
