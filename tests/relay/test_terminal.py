"""What a program's output does to the terminal in which somebody reads it: nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import terminal
from tests.relay.conftest import Served

PIECES = (
    "\x1b",
    "[",
    "]",
    "31m",
    "52;c;aGk=",
    "\x07",
    "\x1b\\",
    "\x9b",
    "\x9d",
    "\r",
    "\n",
    "\t",
    "\x00",
    "\u202e",
    "a",
    "ä",
)


@given(st.lists(st.sampled_from(PIECES)).map("".join) | st.text())
def test_what_is_left_controls_nothing_and_stays_as_it_is(text: str) -> None:
    left = terminal.lines(text)
    assert not any(
        (one < " " and one not in "\n\t") or "\x7f" <= one <= "\x9f" or one == "\u202e" for one in left
    )
    assert terminal.lines(left) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b]52;c;cm0gLXJmIH4=\x07done", "done"),
        ("\x1b[2J\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;javascript:alert(1)\x1b\\here\x1b]8;;\x1b\\", "here"),
        ("10 %\r20 %\rdone\r\nnext\n", "10 %\n20 %\ndone\nnext\n"),
        ("\u202egpj.exe", "gpj.exe"),
        ("tab\tand ä stay\n", "tab\tand ä stay\n"),
    ],
)
def test_whoever_asked_gets_words_and_no_orders_to_a_terminal(shared: Served, text: str, left: str) -> None:
    task_id = f"terminal-{text.encode().hex()[:40]}"
    shared.command(task_id=task_id)
    shared.report(task_id, status="failed", reason="exit_status", returncode=1, error=text, output=text)
    task = shared.task(task_id)
    assert (task["error"], task["output"]) == (left, left)
