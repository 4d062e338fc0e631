"""What an assistant says aloud about a task: at most 25 words, no paths, hashes or markup (pure).

It is made for every report that comes in, so plain words take a short way through."""

from __future__ import annotations

import re

from relay import terminal
from relay.protocol import Reason, Status

MAX_WORDS = 25

_BECAUSE = {
    Reason.EXIT_STATUS: "It failed.",
    Reason.TIMED_OUT: "It took too long and was stopped.",
    Reason.REJECTED: "It was not run.",
    Reason.INTERRUPTED: "It was interrupted when the worker stopped; part of it may be done.",
    Reason.EXPIRED: "It was not run, because its time had passed.",
    Reason.UNDELIVERABLE: "It never reached the machine.",
    Reason.ERROR: "It failed.",
}
_NOW = {
    Status.AWAITING_APPROVAL: "It needs your OK first: open the viewer.",
    Status.PENDING: "It waits to be started.",
    Status.RUNNING: "It is still running.",
    Status.CANCELLED: "It was cancelled.",
}
# What the error says better than we could from the reason.
_SAYS_WHY = frozenset({Reason.REJECTED, Reason.EXPIRED, Reason.ERROR})
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_MINUTE = 60
_HOUR = 3_600
_DAY = 86_400

_LONGEST = 400  # characters that are looked at; 25 words need fewer
# Anything but ordinary words and numbers. A letter beside a digit may be a hash.
_ODD = re.compile(r"[^A-Za-z0-9 ,.;:!?']|\d[a-z]|[a-z]\d|(?:^|\s)[^\w\s]|\S{31}")
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
_NAME = re.compile(r"(?!.*[0-9a-f]{7})[A-Za-z][\w-]{0,29}(?:\.[A-Za-z]{1,5})?")


def _last_name(path: re.Match[str]) -> str:
    """The end of a path, where that is a name one can say."""
    name = path[0].rstrip("/.\"')").rpartition("/")[2]
    return name if _NAME.fullmatch(name) else "a path"


# In this order: what an earlier one makes must not look odd to a later one.
_UNSPEAKABLE = (
    (terminal.CONTROL, " "),
    (re.compile(r"[;,] see docs/\S+"), ""),
    (re.compile(r"\b[a-z][a-z+]{1,9}://\S+"), "a link"),
    (re.compile(rf"\bsession {_UUID}", re.IGNORECASE), "that session"),
    (re.compile(rf"\b{_UUID}", re.IGNORECASE), "an id"),
    (re.compile(r"\s(?:[-=]+>|→)\s"), " to "),
    (re.compile(r"[`*#<>\[\]{}\\\"\u201c\u201d\u2018]|(?<!\w)'|[\u2019'](?!\w)"), ""),
    # Absolute or deep paths, and shallow ones that end like a file; and/or and feature/login are words.
    (re.compile(r"(?<!\w)(?:~|\.{0,2})?/[^\s,;:]+|[\w.@-]+(?:/[\w.-]*){2,}|[\w.-]+/[\w-]+\.\w+"), _last_name),
    # A letter and a digit: 12345678 is a number, and "defaced" is a word.
    (re.compile(r"\b(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{7,64}\b"), "a hash"),
    (re.compile(r"[_|=~^]+|-{2,}|\(\W*\)|[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff]"), " "),
    (re.compile(r"(?<!\S)[^\w\s]+(?!\S)"), " "),
    (re.compile(r"\S{41,}"), "something long"),
)
_PARTS = re.compile(r"(?<=[.!?;])\s+")


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
        return _told(first, headline)
    if status is Status.RUNNING and headline:
        return _ended(_told("It waits for somebody to allow this on the machine:", headline))
    if status is not Status.FAILED or reason is None:
        return _NOW.get(status, "It failed.")
    first = _BECAUSE[reason]
    if reason in _SAYS_WHY:
        return _told("It was not run." if reason is Reason.EXPIRED and error else first, error)
    if reason is Reason.TIMED_OUT and seconds is not None:
        first = f"It was stopped after {_duration(seconds)}, because it took too long."
    return _told(first, headline or (error if reason is Reason.EXIT_STATUS else None))


def waiting(
    status: Status,
    machine: str,
    *,
    online: bool,
    silent_s: float | None = None,
    busy: bool = False,
    worker: bool = True,
) -> str:
    """What to say while *status* is not final. *silent_s*: since when *machine*, which is not
    online, has not been heard (None: never); *busy*: what waits there waits for another task to end;
    *worker*: whether there is a worker at all."""
    if online and not worker and status is not Status.AWAITING_APPROVAL:
        if status is Status.RUNNING:
            return f"The worker on {machine} stopped while it ran; news comes when the worker is back."
        return f"The worker on {machine} does not run. It starts when the worker is back."
    if online:
        if status is Status.PENDING:
            return f"It waits until another task on {machine} has ended." if busy else "It is about to start."
        return _NOW[status]
    away = f"{machine.capitalize()} is offline, {last_seen(silent_s)}."
    if status is Status.RUNNING:
        return f"{away} It was running then; news comes when it is back."
    if status is Status.AWAITING_APPROVAL:
        return f"{away} It needs your OK there first."
    return f"{away} It starts when the machine is back."


def last_seen(silent_s: float | None) -> str:
    """When a machine was heard last, *silent_s* seconds ago (None: never), in a few words."""
    return "never seen" if silent_s is None else f"last seen {_duration(silent_s)} ago"


def _told(first: str, more: str | None) -> str:
    """*first*, which is ours, and what of *more* can be said in the same breath."""
    words = _clean(more) if more else []
    if not words:
        return first
    words[0] = words[0][0].upper() + words[0][1:]
    room = MAX_WORDS - len(first.split())
    return f"{first} {_ended(' '.join(words) if len(words) <= room else _shortened(words, room))}"


def _clean(text: str) -> list[str]:
    """The words of *text* that can be said."""
    text = text[:_LONGEST]
    if _ODD.search(text):
        for pattern, instead in _UNSPEAKABLE:
            text = pattern.sub(instead, text)
    return text.split()


def _shortened(words: list[str], room: int) -> str:
    """Whole sentences that fit into *room* words, or else the beginning of the first one."""
    kept, count = [], 0
    for part in _PARTS.split(" ".join(words)):
        count += len(part.split())
        if count > room:
            break
        kept.append(part)
    return " ".join(kept) if kept else " ".join(words[: room - 2]).rstrip(",;:.-") + ", and more"


def _ended(sentence: str) -> str:
    sentence = sentence.rstrip(",;:")
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
