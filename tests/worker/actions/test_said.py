"""What programs print, for the ear."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.actions.said import said

PYTEST = """..F
E       assert 1 == 2
=========================== short test summary info ============================
FAILED tests/test_x.py::test_one - assert 1 == 2
========================= 1 failed, 12 passed in 2.31s =========================
"""
UNITTEST = """.F
----------------------------------------------------------------------
Ran 5 tests in 0.001s

FAILED (failures=1, errors=1)
"""
JEST = "Test Suites: 1 failed, 1 total\nTests:       2 failed, 4 passed, 6 total\nTime:        0.5 s\n"
VITEST = " Test Files  1 passed (1)\n      Tests  3 passed (3)\n   Duration  310ms\n"
CARGO = "test result: FAILED. 3 passed; 1 failed; 0 ignored; finished in 0.00s\n\nerror: test failed\n"
MOCHA = "  a\n    1) b\n\n  3 passing (10ms)\n  1 failing\n"
DF = "Filesystem Size Used Avail Use% Mounted on\n/dev/sda1 98G 61G 33G 66% /\n"
LS = "total 8\n-rw-r--r-- 1 me me 4 Nov 25 10:00 note.txt\n"
MAKE = "make: *** [Makefile:12: test] Error 1\n"


@pytest.mark.parametrize(
    ("stdout", "told"),
    [
        ("Hello from Linux\n", "Hello from Linux"),
        ("42 note.txt\n", "42 note.txt"),
        ("/home/me/project\n", "/home/me/project"),
        (LS, "It printed two lines."),
        (DF, "It printed two lines."),
        (LS + "drwxr-xr-x 2 root root 4096 Nov 25 19:28 screens\n", "It printed three lines."),
        ("done well\n-----\n=====\n\n", "done well"),
        ("", None),
        ("============ 12 passed, 1 warning in 0.10s ============\n", "All 12 tests passed."),
        ("Ran 1 test in 0.001s\n\nOK\n", "The one test passed."),
        (VITEST, "All three tests passed."),
    ],
)
def test_a_program_that_went_well(stdout: str, told: str | None) -> None:
    assert said(stdout) == told


@pytest.mark.parametrize(
    ("stdout", "stderr", "told"),
    [
        (PYTEST, "", "One test failed, 12 passed."),
        (PYTEST, MAKE, "One test failed, 12 passed."),
        ("", UNITTEST, "Two tests failed, three passed."),
        ("", JEST, "Two tests failed, four passed."),
        (CARGO, "", "One test failed, three passed."),
        (MOCHA, "", "One test failed, three passed."),
        ("half done\n", MAKE, "half done"),
        ("", "/bin/sh: 1: cargo: not found\n", "There is no command cargo on this machine."),
        ("", "bash: line 1: cargo: command not found\n", "There is no command cargo on this machine."),
        ("fine\n", "cat: /etc/shadow: Permission denied\n", "cat: /etc/shadow: Permission denied"),
        ("", "Traceback (most recent call last):\n  File x\nValueError: not so\n", "ValueError: not so"),
        ("", "", None),
    ],
)
def test_a_program_that_failed(stdout: str, stderr: str, told: str | None) -> None:
    assert said(stdout, stderr, failed=True) == told


@given(st.text(), st.text(), st.booleans())
def test_any_output_gives_a_short_line_or_none(stdout: str, stderr: str, failed: bool) -> None:
    told = said(stdout, stderr, failed=failed)
    assert told is None or 0 < len(told) <= 200


@pytest.mark.parametrize(
    "item", ["1 passed, ", "1 1, ", "=", "Ran 1 test in \n", "Tests: 1 passed", " 1 passing "]
)
def test_no_line_takes_longer_to_understand_the_longer_it_is(item: str) -> None:
    # It holds the interpreter, and so the whole worker; with two ways to read an item this never ends.
    said(item * 700, item * 700, failed=True)


def test_a_hostile_megabyte_is_no_trouble() -> None:
    for text in ("1 a, " * 200_000, "=" * 1_000_000, "Tests: " + "1 " * 500_000, "\n" * 1_000_000):
        said(text, text, failed=True)
