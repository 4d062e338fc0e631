"""What is read aloud."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.protocol import Reason, Status
from relay.speech import MAX_WORDS, last_seen, spoken

WORDS = st.text(max_size=500) | st.lists(
    st.sampled_from(
        ["fatal:", "/etc/passwd", "src/relay/app.py", "~/secret", "../x", "0123abcd", "beefcafe01", "`rm`",
         "**no**", "a/b", "word", "\x1b[31mred\x1b[0m", "\x00", "//", "x" * 500, "(/tmp/x)", "'/tmp/y'",
         "path=/tmp/z", "..."]
    ),
    min_size=1, max_size=60,
).map(" ".join)  # fmt: skip
SPOKEN = st.builds(
    spoken,
    st.sampled_from([Status.COMPLETED, Status.FAILED, Status.RUNNING]),
    reason=st.sampled_from([Reason.REJECTED, Reason.EXIT_STATUS, Reason.ERROR]),
    error=WORDS,
    headline=WORDS,
    seconds=st.none() | st.floats(0, 1e6),
)


@given(SPOKEN)
def test_it_is_one_breath_whatever_the_program_said(said: str) -> None:
    assert 1 <= len(said.split()) <= MAX_WORDS
    assert said.endswith((".", "!", "?"))


@given(SPOKEN)
def test_no_path_no_hash_no_markup_is_read_aloud(said: str) -> None:
    assert not re.search(r"(?<!\w)(~|\.{1,2})?/\w", said), said
    assert not re.search(r"\w/[^/\s]+/\w", said), said
    assert "beefcafe01" not in said.split()
    assert not re.search(r"\b[0-9]+[a-f][0-9a-f]{6,}\b", said), said
    assert not re.search(r"[\x00-\x1f\x7f`*<>|{}\[\]]", said), said


@given(st.text(max_size=300))
@example("/" + "a/" * 1_000)
@example("a/" * 1_000)
def test_a_long_path_leaves_no_rest(text: str) -> None:
    said = spoken(Status.COMPLETED, headline=text)
    assert len(said) < 400
    assert not re.search(r"(?<!\w)/\w", said)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "Done."), (0, "Done in under a second."), (0.999, "Done in under a second."),
        (1, "Done in one second."), (2.4, "Done in two seconds."), (59, "Done in 59 seconds."),
        (119, "Done in 119 seconds."), (120, "Done in two minutes."), (7_199, "Done in 120 minutes."),
        (7_200, "Done in two hours."),
    ],
)  # fmt: skip
def test_a_duration_is_rounded_the_way_people_do(seconds: float | None, said: str) -> None:
    assert spoken(Status.COMPLETED, seconds=seconds) == said


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            {"status": Status.COMPLETED, "seconds": 2, "headline": "On branch main, three files changed."},
            "Done in two seconds. On branch main, three files changed.",
        ),
        ({"status": Status.PENDING}, "It waits to be started."),
        ({"status": Status.RUNNING}, "It is running."),
        (
            {"status": Status.RUNNING, "headline": "Write /home/me/a.txt"},
            "It waits for somebody to allow this on the machine: Write a path.",
        ),
        ({"status": Status.CANCELLED}, "It was cancelled."),
        ({"status": Status.AWAITING_APPROVAL}, "It waits for your approval on the machine."),
        (
            {
                "status": Status.FAILED,
                "reason": Reason.EXIT_STATUS,
                "error": "code 1",
                "headline": "no such branch",
            },
            "It failed. no such branch.",
        ),
        (
            {
                "status": Status.FAILED,
                "reason": Reason.REJECTED,
                "error": "Project x does not allow git.write",
            },
            "It was not run. Project x does not allow git.write.",
        ),
        ({"status": Status.FAILED, "reason": Reason.TIMED_OUT}, "It took too long and was stopped."),
        ({"status": Status.FAILED}, "It failed."),
        (
            {"status": Status.COMPLETED, "headline": "Wrote /home/me/x.txt at 0123456789abcdef"},
            "Done. Wrote a path at a hash.",
        ),
    ],
)
def test_it_says_what_happened(facts: dict[str, object], said: str) -> None:
    assert spoken(**facts) == said


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_words(reason: Reason) -> None:
    assert len(spoken(Status.FAILED, reason=reason).split()) >= 2


@pytest.mark.parametrize(
    ("silent_s", "said"),
    [
        (None, "never seen"), (0.2, "last seen under a second ago"), (40, "last seen 40 seconds ago"),
        (10_800, "last seen three hours ago"), (172_800, "last seen two days ago"),
    ],
)  # fmt: skip
def test_how_long_a_machine_has_been_away_is_said_in_words(silent_s: float | None, said: str) -> None:
    assert last_seen(silent_s) == said


def test_an_ordinary_slash_and_a_number_stay() -> None:
    said = spoken(Status.COMPLETED, headline="Yes and/or no, 1500 files, 3/4 done")
    assert said == "Done. Yes and/or no, 1500 files, 3/4 done."


def test_a_number_of_many_digits_is_no_hash() -> None:
    assert spoken(Status.COMPLETED, headline="12345678 rows") == "Done. 12345678 rows."
