"""What an assistant says aloud about a task: at most 25 words, no paths, hashes or markup (pure)."""

from __future__ import annotations

import re

from relay.protocol import Reason, Status

MAX_WORDS = 25

_BECAUSE = {
    Reason.EXIT_STATUS: "It failed.",
    Reason.TIMED_OUT: "It took too long and was stopped.",
    Reason.REJECTED: "It was not run.",
    Reason.INTERRUPTED: "It was interrupted, because the worker stopped.",
    Reason.EXPIRED: "It was not run, because its time had passed.",
    Reason.UNDELIVERABLE: "It never reached the machine.",
    Reason.ERROR: "It failed.",
}
_NOW = {
    Status.AWAITING_APPROVAL: "It waits for your approval on the machine.",
    Status.PENDING: "It waits to be started.",
    Status.RUNNING: "It is running.",
    Status.CANCELLED: "It was cancelled.",
}
_ASKS = "It waits for somebody to allow this on the machine:"
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_MINUTE = 60
_HOUR = 3_600
_DAY = 86_400

# Escape sequences, markup, absolute or deep paths, and hexadecimal names read terribly.
_UNSPEAKABLE = (
    (re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x1f\x7f-\x9f]"), " "),
    (re.compile(r"[`*_#<>|\[\]{}\\\"]"), ""),
    (re.compile(r"(?<!\w)(?:~|\.{0,2})?/[^\s,;:]+|[\w.-]+(?:/[\w.-]*){2,}"), "a path"),
    # A letter and a digit: 12345678 is a number, and "defaced" is a word.
    (re.compile(r"\b(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{7,64}\b"), "a hash"),
)


def spoken(
    status: Status,
    *,
    reason: Reason | None = None,
    error: str | None = None,
    headline: str | None = None,
    seconds: float | None = None,
) -> str:
    """The sentence or two for the ear. *seconds* is the run time, None when it never ran."""
    if status is Status.COMPLETED:
        first = f"Done in {_duration(seconds)}." if seconds is not None else "Done."
        return _clean(f"{first} {headline or ''}")
    if status is Status.FAILED and reason is not None:
        more = error if reason in {Reason.REJECTED, Reason.ERROR} else headline
        return _clean(f"{_BECAUSE[reason]} {more or ''}")
    if status is Status.RUNNING and headline:
        return _clean(f"{_ASKS} {headline}")
    return _NOW.get(status, "It failed.")


def is_asking(summary: str | None) -> bool:
    """Whether that is the summary of a running task which waits for its owner."""
    return summary is not None and summary.startswith(_ASKS)


def last_seen(silent_s: float | None) -> str:
    """When a machine was heard last, *silent_s* seconds ago (None: never), in a few words."""
    return "never seen" if silent_s is None else f"last seen {_duration(silent_s)} ago"


def _clean(text: str) -> str:
    for pattern, instead in _UNSPEAKABLE:
        text = pattern.sub(instead, text)
    words = text.split()
    if len(words) > MAX_WORDS:
        words = [*words[: MAX_WORDS - 1], words[MAX_WORDS - 1].rstrip(".,;:") + "."]
    sentence = " ".join(words)
    return sentence if sentence.endswith((".", "!", "?")) else sentence + "."


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "under a second"
    if seconds < 2 * _MINUTE:
        return _count(round(seconds), "second")
    if seconds < 2 * _HOUR:
        return _count(round(seconds / _MINUTE), "minute")
    if seconds < 2 * _DAY:
        return _count(round(seconds / _HOUR), "hour")
    return _count(round(seconds / _DAY), "day")


def _count(number: int, unit: str) -> str:
    word = _NUMBERS[number] if number < len(_NUMBERS) else str(number)
    return f"{word} {unit}" + ("" if number == 1 else "s")
