"""How states, times and sizes are said. Pure; `static/viewer.js` says times in the same words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from relay.protocol import Reason, Status


class State(NamedTuple):
    """A status as people read it: never by colour alone."""

    word: str
    icon: str  #: the name of a symbol in `templates/_icons.html`, and of its colour in viewer.css


STATES: Mapping[Status, State] = {
    Status.AWAITING_APPROVAL: State("Needs your OK", "asks"),
    Status.RUNNING: State("Running", "runs"),
    Status.PENDING: State("Queued", "waits"),
    Status.FAILED: State("Failed", "failed"),
    Status.COMPLETED: State("Done", "done"),
    Status.CANCELLED: State("Cancelled", "cancelled"),
}
"""In the order in which the pages show them: what wants attention first."""

DECLINED = State("Declined", "cancelled")
"""How a failed task is shown whose owner said no: nothing went wrong."""

SILENCE: Mapping[Status, str] = {
    Status.AWAITING_APPROVAL: "It has not started: it waits for your OK.",
    Status.PENDING: "Waiting for a free worker. Output appears here as it happens.",
    Status.RUNNING: "Started. Nothing printed yet.",
    Status.COMPLETED: "It finished without printing anything.",
    Status.FAILED: "It failed before printing anything.",
    Status.CANCELLED: "It was cancelled before it printed anything.",
}
"""What stands where output would."""

NOT_RUN = "It was not run, so it printed nothing."

REASONS: Mapping[Reason, str] = {
    Reason.EXIT_STATUS: "The program reported a failure",
    Reason.TIMED_OUT: "It took too long",
    Reason.REJECTED: "This machine does not allow it",
    Reason.INTERRUPTED: "The worker stopped while it ran",
    Reason.EXPIRED: "It was not started in time",
    Reason.UNDELIVERABLE: "It never reached this machine",
    Reason.ERROR: "Something went wrong",
}

# What cannot be seen, or turns the text after it round, must not dress up a command, nor hide words in a
# prompt that an assistant reads and its owner does not: Unicode's Default_Ignorable_Code_Point, controls,
# and blanks that are none. One U+FE0F after a sign is how emoji are written, and says nothing by itself.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u2028-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb"
    r"\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]|(?<=\ufe0f)\ufe0f"
)


def plain(text: str) -> str:
    """*text* with a visible sign in place of each control or invisible character."""
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)


def shorten(text: str, limit: int) -> str:
    """At most *limit* characters of *text* in one line."""
    line = " ".join(text[: 2 * limit].split())
    return line if len(line) <= limit and len(text) <= 2 * limit else line[: limit - 1].rstrip() + "…"


def action_words(action_type: str) -> str:
    """`claude_code` is `claude code`."""
    return action_type.replace("_", " ")


def duration(seconds: float) -> str:
    """`12 ms`, `0.4 s`, `12 s`, `1 min 34 s`, `2 h 5 min`, `3 days`."""
    if seconds < 0.095:  # noqa: PLR2004 - what would be shown as 0.1
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 9.95:  # noqa: PLR2004 - what would be shown as 10.0
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if not minutes:
        return f"{whole} s"
    if not hours:
        return f"{minutes} min {whole % 60} s"
    if not days:
        return f"{hours} h {minutes % 60} min"
    return f"{days} day{'s' * (days > 1)}"


def ago(at: datetime, now: datetime) -> str:
    """`just now`, `3 min ago`, `2 h ago`, then the date."""
    passed = now - at
    if passed < timedelta(seconds=45):
        return "just now"
    if passed < timedelta(hours=1):
        return f"{max(1, round(passed / timedelta(minutes=1)))} min ago"
    if passed < timedelta(days=1):
        return f"{round(passed / timedelta(hours=1))} h ago"
    return f"{at.day} {at:%b}" + ("" if at.year == now.year else f" {at.year}")


def day(at: date) -> str:
    """`22 Nov`."""
    return f"{at.day} {at:%b}"


def moment(at: datetime) -> str:
    """The whole of a time, as no browser has made it local yet: `22 Nov 2026, 13:06:01 UTC`."""
    utc = at.astimezone(UTC)
    return f"{utc.day} {utc:%b %Y, %H:%M:%S} UTC"


def size(count_bytes: int) -> str:
    """`12 bytes`, `48 KB`, `1.5 MB`; a KB has 1,024 bytes."""
    if count_bytes < 1024:  # noqa: PLR2004
        return f"{count_bytes} byte{'s' * (count_bytes != 1)}"
    kilobytes = count_bytes / 1024
    if kilobytes < 1023.5:  # noqa: PLR2004 - what would be shown as 1024
        return f"{kilobytes:.0f} KB"
    return f"{kilobytes / 1024:.1f} MB"


def count(number: int) -> str:
    """Exact up to 999, then `1.2k`, `11k`."""
    if number < 1000:  # noqa: PLR2004
        return str(number)
    return f"{number / 1000:.1f}k".replace(".0k", "k") if number < 9_950 else f"{number / 1000:.0f}k"  # noqa: PLR2004


def percent(share: float | None) -> str:
    """`88.7 %`, `100 %`; a dash when there is nothing to tell from."""
    if share is None:
        return "\N{EN DASH}"
    # Never rounded up to all, nor down to none.
    text = f"{min(share * 100, 99.9) if share < 1 else 100:.1f}".removesuffix(".0")
    return f"{text if share > 0 else 0} %"
