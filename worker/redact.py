"""Secrets, taken out of what a program prints before anybody keeps, shows or sends it.

Known secrets are found wherever they stand. Unknown ones are found by their shape: the well-known
prefixes of tokens, and the few places where a value is a secret by its name. Output is cleaned as it
comes, and what comes out does not depend on where it was cut: only an end that may be the beginning
of a secret (HELD_CHARS at most, or the longest known secret) waits for what follows.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from heapq import heapify, heappop, heapreplace
from typing import Any

from relay.env import parse_keys
from worker.secret_shapes import BEGINNING, BEHIND_CHARS, HELD_CHARS, SECRETS, forms

WORD = "[redacted]"
"""Stands where a secret stood. What says which kind it was (`ghp_`, `API_KEY=`) stays before it."""
MIN_SECRET_CHARS, MAX_SECRET_CHARS = 8, 2_048
"""Known secrets outside these are not looked for: they would hide half of a text, or hold it up."""


def known_secrets(environment: Mapping[str, str | None]) -> set[str]:
    """The values in *environment* that are secrets by their names: the machine's own settings, and
    whatever ends in KEY, TOKEN, SECRET, PASSWORD or CREDENTIALS.

    Left out are paths, public keys, and plain words or numbers that results are full of."""
    values = (
        key
        for name, value in environment.items()
        if value and _SECRET_NAME.search(name) and not _PUBLIC_NAME.search(name)
        for key in (_keys(value) if name in {"API_KEY", "MACHINE_KEY"} else {value.strip()})
    )
    return {value for value in values if len(value) >= MIN_SECRET_CHARS and not _COMMON.fullmatch(value)}


_SECRET_NAME = re.compile(r"(?i)(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL)S?$")
_PUBLIC_NAME = re.compile(r"(?i)PUBLIC|PUBLISHABLE")
# Up to 15 characters of one sort are a word or a number; the root of a path is told from base64.
_COMMON = re.compile(
    r"[A-Za-z]{8,15}|[0-9]{8,15}|(?:~|\.{1,2})/.*|/(?:etc|home|mnt|opt|private|root|run|srv|tmp|usr|Users|var)/.*"
)


def _keys(setting: str) -> set[str]:
    try:
        return set(parse_keys(setting, "unnamed"))
    except ValueError:
        return {setting.strip()}  # no process of ours starts with it, and yet it may be a secret


class Redactor:
    """Takes known *secrets* and everything that has the shape of a secret out of texts."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Secrets outside MIN_SECRET_CHARS to MAX_SECRET_CHARS are left to their shapes."""
        known = {one for one in secrets if MIN_SECRET_CHARS <= len(one) <= MAX_SECRET_CHARS}
        self._needles = _Needles({form for one in known for form in forms(one)})

    def clean(self, text: str) -> str:
        """*text* without secrets, in linear time."""
        stream = self.stream()
        return stream.feed(text) + stream.end()

    def clean_known(self, text: str) -> str:
        """*text* without known secrets only. For what a person says yes to: behind the shape of a secret
        anything can be hidden, behind a known one nothing."""
        known = _Known(self._needles)
        return known.take(text) + known.take("", last=True)

    def clean_json(self, value: Any, clean: Callable[[str], str] | None = None) -> Any:  # Any: JSON
        """*value* with every text in it cleaned (by *clean*, if given), at whatever depth."""
        clean = clean or self.clean
        if isinstance(value, str):
            return clean(value)
        if isinstance(value, Mapping):
            return {key: self.clean_json(one, clean) for key, one in value.items()}
        return [self.clean_json(one, clean) for one in value] if isinstance(value, list | tuple) else value

    def stream(self) -> Stream:
        """For one stream of output; two streams must not share one."""
        return Stream(self._needles)


class Stream:
    """One stream of output on its way: what `feed` and `end` return, put together, is `clean` of the
    whole text, however it was cut."""

    def __init__(self, needles: _Needles) -> None:
        self._known = _Known(needles)
        self._shaped = _Shaped()

    def feed(self, text: str) -> str:
        """What may be shown now: all there is but an end that may be the beginning of a secret."""
        return self._shaped.take(self._known.take(text))

    def end(self) -> str:
        """The rest; nothing may be fed any more."""
        return self._shaped.take(self._known.take("", last=True), last=True)


class _Needles:
    """Texts to look for, all at once."""

    def __init__(self, texts: Iterable[str]) -> None:
        # The longest first: where one is the beginning of another, no rest must be left.
        self.texts = sorted(texts, key=lambda text: (-len(text), text))
        self.pattern = re.compile("|".join(map(re.escape, self.texts)))
        self.longest = len(self.texts[0]) if self.texts else 0
        self._characters = set("".join(self.texts))
        self._by_first: dict[str, list[str]] = defaultdict(list)
        for text in self.texts:
            self._by_first[text[0]].append(text)

    def are_in(self, text: str) -> bool:
        # Many times faster than the pattern, and nearly always the answer is no.
        return any(needle in text for needle in self.texts)

    def undecided(self, text: str, pos: int) -> int:
        """Where, from *pos* on, *text* ends with the beginning of a needle; else its length."""
        if text[-1:] in self._characters:
            for start in range(max(pos, len(text) - self.longest + 1), len(text)):
                for needle in self._by_first.get(text[start], ()):
                    if len(text) - start < len(needle) and needle.startswith(text[start:]):
                        return start
        return len(text)


class _Known:
    """Takes needles out of a stream."""

    def __init__(self, needles: _Needles) -> None:
        self._needles = needles
        self._held = ""

    def take(self, text: str, *, last: bool = False) -> str:
        if not text and not self._held:
            return ""
        text, pos, out = self._held + text, 0, list[str]()
        present = self._needles.are_in(text)
        end = len(text) if last else -1
        while True:
            if end < pos:
                end = self._needles.undecided(text, pos)
            match = present and self._needles.pattern.search(text, pos)
            if not match or match.start() >= end:
                break
            out += (text[pos : match.start()], WORD)
            pos = match.end()
        self._held = text[end:]
        return "".join((*out, text[pos:end]))


class _Shaped:
    """Takes what looks like a secret out of a stream."""

    def __init__(self) -> None:
        self._text = ""  # what a shape may look behind for, then what is held
        self._pos = 0
        self._more: re.Pattern[str] | None = None  # how the secret goes on that we are inside of

    def take(self, text: str, *, last: bool = False) -> str:
        if not text and self._pos == len(self._text):
            return ""
        text, pos, out = self._text + text, self._pos, list[str]()
        end = len(text) if last else -1
        secrets = _Secrets(text, pos)
        while True:
            if self._more:
                pos = self._skip(text, pos, self._more, last=last)
            if self._more:
                break
            if end < pos:
                end = _decided(text, pos)
            found = secrets.first(pos)
            if found is None or found[0].start() >= end:
                out.append(text[pos:end])
                pos = end
                break
            match, self._more = found
            out += (text[pos : match.start(match.lastindex or 0)], WORD)
            pos = match.end(match.lastindex or 0)
        behind = max(0, pos - BEHIND_CHARS)
        self._text, self._pos = text[behind:], pos - behind
        return "".join(out)

    def _skip(self, text: str, pos: int, more: re.Pattern[str], *, last: bool) -> int:
        """Where the secret ends that we are inside of; while it may go on, we stay inside."""
        match = more.match(text, pos)
        assert match is not None
        # A dash may begin the line that ends a key, or not.
        if last or text[match.end() : match.end() + 2] not in {"", "-"}:
            self._more = None
        return match.end()


class _Secrets:
    """What looks like a secret in *text*, from the left."""

    def __init__(self, text: str, pos: int) -> None:
        self._text = text
        matches = ((pattern.search(text, pos), which) for which, (pattern, _) in enumerate(SECRETS))
        self._next = [(match.start(), which, match) for match, which in matches if match]
        heapify(self._next)

    def first(self, pos: int) -> tuple[re.Match[str], re.Pattern[str] | None] | None:
        """The first from *pos* on, which only grows, and how it goes on."""
        while self._next and self._next[0][0] < pos:
            which = self._next[0][1]
            if match := SECRETS[which][0].search(self._text, pos):
                heapreplace(self._next, (match.start(), which, match))
            else:
                heappop(self._next)
        if not self._next:
            return None
        _, which, match = self._next[0]
        return match, SECRETS[which][1][(match.lastindex or 1) - 1]


def _decided(text: str, pos: int) -> int:
    """Up to where, from *pos* on, nothing that may follow makes a secret of *text*."""
    beginning = BEGINNING.search(text, max(pos, len(text) - HELD_CHARS))
    return beginning.start() if beginning else len(text)
