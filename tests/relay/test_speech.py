"""What is read aloud."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.protocol import Reason, Status
from relay.speech import MAX_WORDS, last_seen, spoken, waiting

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


def done(headline: str | None, seconds: float | None = 2) -> str:
    return spoken(Status.COMPLETED, headline=headline, seconds=seconds)


def failed(reason: Reason, error: str | None = None, headline: str | None = None, **more: float) -> str:
    return spoken(Status.FAILED, reason=reason, error=error, headline=headline, **more)


LONG = (
    "The lock in `worker/tasks.py` is never given back when the worker dies in between, and so every later "
    "task waits for it until somebody notices"
)
TURNS = (
    "It was not done after 30 turns, the most allowed. Go on with session "
    "4033a5b0-1a2b-4c3d-8e4f-123456789abc, or allow more"
)
CUT = (
    "Done in two minutes. The lock in tasks.py is never given back when the worker dies in between, "
    "and so every later task, and more."
)
TOLD = "It failed. It was not done after 30 turns, the most allowed. Go on with that session, or allow more."
NO_WRITE = "Project x does not allow git.write; it allows git.read. Change it in policy.toml"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        # git
        (
            done("On branch main, nothing to commit."),
            "Done in two seconds. On branch main, nothing to commit.",
        ),
        (
            done("On branch feature/login, two commits ahead, three files changed."),
            "Done in two seconds. On branch feature/login, two commits ahead, three files changed.",
        ),
        (
            done("The latest commit says: Fix `parse_keys` in relay/protocol.py", None),
            "Done. The latest commit says: Fix parse keys in protocol.py.",
        ),
        (
            done("Committed on main: Merge pull request #12 from me/fix.", None),
            "Done. Committed on main: Merge pull request 12 from me/fix.",
        ),
        (done("Pushed main.", None), "Done. Pushed main."),
        (done(None), "Done in two seconds."),
        (
            failed(Reason.EXIT_STATUS, "It ended with exit status 128", "Not a git repository."),
            "It failed. Not a git repository.",
        ),
        # shell
        (
            failed(Reason.EXIT_STATUS, "It ended …", "One test failed, 12 passed."),
            "It failed. One test failed, 12 passed.",
        ),
        (
            failed(Reason.EXIT_STATUS, "It ended with exit status 3 and printed nothing"),
            "It failed. It ended with exit status 3 and printed nothing.",
        ),
        (
            failed(Reason.EXIT_STATUS, "…", "cat: /etc/shadow: Permission denied"),
            "It failed. Cat: shadow: Permission denied.",
        ),
        (failed(Reason.EXIT_STATUS, "…", "no such branch"), "It failed. No such branch."),
        (
            done("\x1b[32m✔ 3 files written\x1b[0m ==> dist/assets/index-5f3c2a1b.js", None),
            "Done. 3 files written to a path.",
        ),
        (done("1 file\x1bP0;title\x1b\\ was\n\u202eread", None), "Done. 1 file was read."),
        (done("main -> main", None), "Done. Main to main."),
        (done("Wrote /home/me/x.txt at 0123456789abcdef", None), "Done. Wrote x.txt at a hash."),
        (done("see https://example.com/a?b=c now", None), "Done. See a link now."),
        (done("]0;title", None), "Done. 0;title."),
        (done("--- ***", None), "Done."),
        # claude_code
        (
            done("It was not allowed to use Write. **I wrote** it to `src/a/b.py`.", 75),
            "Done in 75 seconds. It was not allowed to use Write. I wrote it to b.py.",
        ),
        (done("Three findings. " + LONG, 130), "Done in two minutes. Three findings."),
        (done(LONG, 130), CUT),
        (failed(Reason.ERROR, TURNS), TOLD),
        # the machine says no, or time passes
        (
            failed(Reason.REJECTED, "The parameters are not right: x is missing; see docs/LLM_ACTIONS.md"),
            "It was not run. The parameters are not right: x is missing.",
        ),
        (failed(Reason.REJECTED, NO_WRITE), f"It was not run. {NO_WRITE}."),
        (
            failed(
                Reason.REJECTED, f"{NO_WRITE}, which lies on the machine, where no message can ever change it"
            ),
            "It was not run. Project x does not allow git.write; it allows git.read.",
        ),
        (failed(Reason.TIMED_OUT), "It took too long and was stopped."),
        (
            failed(Reason.TIMED_OUT, "It ran longer than …", seconds=30.2),
            "It was stopped after 30 seconds, because it took too long.",
        ),
        (failed(Reason.INTERRUPTED), "It was interrupted when the worker stopped; part of it may be done."),
        (failed(Reason.EXPIRED), "It was not run, because its time had passed."),
        (
            failed(Reason.EXPIRED, "Nobody approved it in time, and no answer is a no"),
            "It was not run. Nobody approved it in time, and no answer is a no.",
        ),
        (failed(Reason.UNDELIVERABLE, "The machine did not …"), "It never reached the machine."),
        (spoken(Status.FAILED), "It failed."),
        (spoken(Status.CANCELLED), "It was cancelled."),
        (spoken(Status.PENDING), "It waits to be started."),
        (spoken(Status.RUNNING), "It is still running."),
        (
            spoken(Status.RUNNING, headline="Write /home/me/a.txt"),
            "It waits for somebody to allow this on the machine: Write a.txt.",
        ),
        (spoken(Status.RUNNING, headline=":"), "It waits for somebody to allow this on the machine."),
        (spoken(Status.AWAITING_APPROVAL), "It needs your OK first: open the viewer."),
        (
            spoken(
                Status.FAILED, reason=Reason.REJECTED, error="command is missing; see docs/LLM_ACTIONS.md"
            ),
            "It was not run. Command is missing.",
        ),
    ],
)
def test_it_says_what_happened(said: str, expected: str) -> None:
    assert said == expected
    assert len(said.split()) <= MAX_WORDS


@pytest.mark.parametrize(
    ("status", "facts", "expected"),
    [
        (Status.PENDING, {"online": True}, "It is about to start."),
        (Status.PENDING, {"online": True, "busy": True}, "It waits until another task on laptop has ended."),
        (
            Status.PENDING,
            {"online": False, "silent_s": 10_800},
            "Laptop is offline, last seen three hours ago. It starts when the machine is back.",
        ),
        (
            Status.PENDING,
            {"online": False},
            "Laptop is offline, never seen. It starts when the machine is back.",
        ),
        (
            Status.PENDING,
            {"online": True, "worker": False},
            "The worker on laptop does not run. It starts when the worker is back.",
        ),
        (Status.RUNNING, {"online": True}, "It is still running."),
        (
            Status.RUNNING,
            {"online": False, "silent_s": 60},
            "Laptop is offline, last seen 60 seconds ago. It was running then; news comes when it is back.",
        ),
        (Status.AWAITING_APPROVAL, {"online": True}, "It needs your OK first: open the viewer."),
        (
            Status.AWAITING_APPROVAL,
            {"online": False, "silent_s": 60},
            "Laptop is offline, last seen 60 seconds ago. It needs your OK there first.",
        ),
    ],
)
def test_while_it_is_not_over_it_says_what_it_waits_for(
    status: Status, facts: dict[str, float], expected: str
) -> None:
    said = waiting(status, "laptop", **facts)
    assert said == expected
    assert len(said.split()) <= MAX_WORDS


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
