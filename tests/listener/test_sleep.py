"""Noticing that the machine slept."""

from __future__ import annotations

from listener.sleep import JUMP_S, SleepDetector, slept_seconds


def test_a_jump_of_the_clocks_is_a_sleep_and_is_told_once() -> None:
    clock = [0.0]
    detector = SleepDetector(lambda: clock[0])
    assert not detector.woke_up()
    clock[0] += JUMP_S + 0.1
    assert detector.woke_up()
    assert not detector.woke_up()


def test_small_differences_are_no_sleep() -> None:
    clock = [0.0]
    detector = SleepDetector(lambda: clock[0])
    for _ in range(100):
        clock[0] += JUMP_S
        assert not detector.woke_up()


def test_this_machine_is_awake() -> None:
    before = slept_seconds()
    assert abs(slept_seconds() - before) < 1
