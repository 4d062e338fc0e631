"""How times, sizes and numbers are said."""

from __future__ import annotations

import sys
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest

from relay.protocol import Reason, Status
from viewer import words

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def test_every_status_and_reason_has_words() -> None:
    assert set(words.STATES) == set(words.SILENCE) == set(Status)
    assert set(words.REASONS) == set(Reason)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0 ms"),
        (0.012, "12 ms"),
        (0.0949, "95 ms"),
        (0.1, "0.1 s"),
        (9.94, "9.9 s"),
        (9.95, "10 s"),
        (59.6, "1 min 0 s"),
        (94, "1 min 34 s"),
        (3599, "59 min 59 s"),
        (7500, "2 h 5 min"),
        (86_400, "1 day"),
        (200_000, "2 days"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=44), "just now"),
        (timedelta(seconds=46), "1 min ago"),
        (timedelta(minutes=3), "3 min ago"),
        (timedelta(hours=2), "2 h ago"),
        (timedelta(days=1), "21 Nov"),
        (timedelta(days=365), "22 Nov 2025"),
    ],
)
def test_times_that_have_passed(passed: timedelta, said: str) -> None:
    assert words.ago(NOON - passed, NOON) == said


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (49_152, "48 KB"),
        (1_048_500, "1.0 MB"),
        (67_108_864, "64.0 MB"),
    ],
)
def test_sizes(size: int, said: str) -> None:
    assert words.size(size) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0"), (999, "999"), (1000, "1k"), (1250, "1.2k"), (9_960, "10k"), (86_123, "86k")],
)
def test_counts(number: int, said: str) -> None:
    assert words.count(number) == said


def test_long_texts_become_one_short_line() -> None:
    assert words.shorten("a\n\tb   c", 80) == "a b c"
    assert words.shorten("x" * 500, 10) == "x" * 9 + "…"
    assert words.shorten("a" + " " * 500 + "b", 10) == "a…"
    assert len(words.shorten("word " * 100, 20)) <= 20


def test_nothing_that_cannot_be_seen_stays_unseen() -> None:
    # Of the format characters only these are drawn: Arabic, Syriac and Kaithi signs round a number.
    drawn = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}
    every = (chr(one) for one in range(sys.maxunicode + 1) if one not in {9, 10, *drawn})
    unseen = "".join(one for one in every if unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"})
    # Fillers are letters, and what chooses between shapes of a sign are marks, to Unicode.
    unseen += "\u115f\u1160\u3164\uffa0\u034f\u180b\u2800\ufe00\ufe0e\U000e0100\U000e01ef"
    assert words.plain(unseen) == "\N{REPLACEMENT CHARACTER}" * len(unseen)


def test_what_people_write_stays_as_it_is() -> None:
    text = "rm -rf 'ä ö'\n\t日本語 العربية עברית ✔\ufe0f 1\ufe0f\u20e3 ⠋ 🙂"
    assert words.plain(text) == text
    assert words.plain("✔\ufe0f\ufe0f") == "✔\ufe0f\N{REPLACEMENT CHARACTER}"
