"""What a program printed, in a few words for the ear (pure).

The last line of a program is often the right one, and often a table, a rule of dashes or make's
complaint about the real culprit."""

from __future__ import annotations

import re
import signal
from contextlib import suppress

MAX_CHARS = 200
_LOOKED_AT = 8_000  # characters at the end; results stand there
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

# They only say that something before them went wrong.
_NOISE = re.compile(
    r"(?:g?make(?:\[\d+\])?:|npm (?:ERR!|error)|hint:|error: Recipe|exit status \d|FAIL$|\+ )"
)
_NOT_FOUND = re.compile(r"(?:^|/)\w*sh: (?:line )?(?:\d+: )?(?:([^:\s]+): (?:command )?not found)$")
_LISTED = re.compile(r"[-bcdlps][-rwxsStT]{9}[.+@]?\s")  # a line of ls -l
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]*[.,:;!?)]*")
_FEW = 3

_RESULTS = (
    # One way only to read each word: two ways would double the time with every item (pytest).
    re.compile(r"^=* ?((?:\d+ \w+, )*\d+ \w+) in [\d.]+ ?s", re.MULTILINE),
    re.compile(r"^ *Tests:? +(\d.*(?:passed|failed|total).*)$", re.MULTILINE),  # jest, vitest
    re.compile(r"^test result: \w+\. (.*)$", re.MULTILINE),  # cargo
    re.compile(r"^ +(\d+ passing .*(?:\n.*){0,2})", re.MULTILINE),  # mocha
)
_UNITTEST = re.compile(r"^Ran (\d+) tests? in .*\n+(?:(OK)|FAILED \((.*)\))", re.MULTILINE)


def said(stdout: str, stderr: str = "", *, failed: bool = False) -> str | None:
    """What is worth hearing: the result of tests, else the last line that reads like speech, else how
    much it was. Of a program that *failed* its errors come first. None when it printed nothing."""
    texts = (stderr, stdout) if failed else (stdout, stderr)
    for text in texts:
        if found := tests(text):
            return found
    if failed and (found := _not_found(stderr)):
        return found
    for text in texts:
        if line := _last_line(text, far=failed):
            return line[:MAX_CHARS]
    if lines := sum(1 for text in texts for line in text.splitlines() if line.strip()):
        return f"It printed {count(lines, 'line')}."
    return None


def tests(text: str) -> str | None:
    """How tests went, as the common runners say it; None when *text* is not about tests."""
    text = text[-_LOOKED_AT:]
    if found := _UNITTEST.search(text):
        ran = int(found[1])
        bad = sum(int(number) for number in re.findall(r"(?:failures|errors)=(\d{1,6})", found[3] or ""))
        return _verdict(bad, max(0, ran - bad))
    for pattern in _RESULTS:
        for line in reversed(pattern.findall(text)):
            numbers = {word: int(number) for number, word in re.findall(r"(\d{1,7}) ([a-z]+)", line)}
            bad = sum(numbers.get(word, 0) for word in ("failed", "error", "errors", "failing"))
            good = numbers.get("passed", 0) + numbers.get("passing", 0)
            if bad or good:
                return _verdict(bad, good)
    return None


def count(number: int, thing: str, things: str | None = None) -> str:
    """`one file`, `three files`, `12 files`; *things* is the plural where an s does not make it."""
    return f"{spelled(number)} {thing if number == 1 else things or thing + 's'}"


def spelled(number: int) -> str:
    """Numbers up to ten as words; 0 is `no`."""
    return _NUMBERS[number] if number < len(_NUMBERS) else str(number)


def ended_with(returncode: int) -> str:
    """`ended with exit status 3`, `was ended by signal 9 (SIGKILL)`: what a program's *returncode* means."""
    if returncode >= 0:
        return f"ended with exit status {returncode}"
    with suppress(ValueError):
        return f"was ended by signal {-returncode} ({signal.Signals(-returncode).name})"
    return f"was ended by signal {-returncode}"


def in_seconds(number: float) -> str:
    """`1 second`, `30 seconds`."""
    return f"{number:g} second{'s' * (number != 1)}"


def capital(text: str) -> str:
    """*text* with a capital at its start."""
    return text[:1].upper() + text[1:]


def _verdict(bad: int, good: int) -> str:
    if bad:
        passed = _NUMBERS[good] if good < len(_NUMBERS) else good
        return capital(f"{count(bad, 'test')} failed, {passed if good else 'none'} passed.")
    return (
        "The one test passed."
        if good == 1
        else f"All {_NUMBERS[good] if good <= _FEW else good} tests passed."
    )


def _not_found(stderr: str) -> str | None:
    lines = stderr.strip().splitlines()
    found = _NOT_FOUND.search(lines[-1][:MAX_CHARS]) if lines else None
    return f"There is no command {found[1]} on this machine." if found else None


def _last_line(text: str, *, far: bool) -> str | None:
    """The last line that reads like speech. Not *far*: only if nothing but rules and noise follows it,
    because words before a table are its head."""
    for line in map(str.strip, reversed(text[-_LOOKED_AT:].splitlines())):
        if not re.search(r"\w", line) or _NOISE.match(line):
            continue
        if _is_speech(line):
            return line
        if not far:
            return None
    return None


def _is_speech(line: str) -> bool:
    """Whether it would be understood when it is read aloud: mostly words, or short."""
    if _LISTED.match(line):
        return False
    parts = line.split()[:40]
    return len(parts) <= _FEW or 2 * sum(1 for part in parts if _WORD.fullmatch(part)) >= len(parts)
