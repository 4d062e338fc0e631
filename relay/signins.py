"""Sign-ins under way: from an app's question to the owner's answer to the code it brings back.

In memory only: one takes minutes, and a restart of the relay costs no more than a second try."""

from __future__ import annotations

import secrets
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from relay.tokens import digest

ANSWER_S = 600.0
"""So long an owner may look for the key."""
CODE_S = 60.0
MAX_TRIES = 5
MAX_PENDING = 200


@dataclass
class SignIn:
    """What an app asked for, as it was checked against its registration."""

    client_id: str
    app: str
    redirect_uri: str
    is_explicit: bool
    """Whether the app named the redirect URI itself."""
    state: str | None
    challenge: str
    resource: str | None
    caller: str
    """How the app will be known."""
    expires_at: float = 0.0
    tries: int = field(default=0)
    family: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Of the tokens that come of it."""
    is_over: bool = False
    """Whether nothing may come of it any more, though its code was good."""


class SignIns:
    """All that are under way."""

    def __init__(self, now: Callable[[], float]) -> None:
        """*now* gives seconds since 1970."""
        self._now = now
        self._pending: dict[str, SignIn] = {}
        self._codes: dict[str, SignIn] = {}
        self._used: dict[str, SignIn] = {}

    def begin(self, sign_in: SignIn) -> str:
        """Keep it until the owner has answered. Returns the id of ours under which that happens; the
        app's own state would let one app answer for another."""
        sign_in.expires_at = self._now() + ANSWER_S
        number = secrets.token_urlsafe(32)
        self._pending = self._fresh(self._pending)
        # Anybody may begin one; the oldest of the app that has most makes room, so that no other app loses
        # its own by that.
        while len(self._pending) >= MAX_PENDING:
            ((most, _),) = Counter(one.client_id for one in self._pending.values()).most_common(1)
            del self._pending[next(key for key, one in self._pending.items() if one.client_id == most)]
        self._pending[number] = sign_in
        return number

    def find(self, number: str) -> SignIn | None:
        """The sign-in, unless it is over."""
        found = self._pending.get(number)
        return found if found and found.expires_at > self._now() else None

    def fail(self, number: str) -> int:
        """A wrong key was typed. Returns how many more may be; with none the sign-in is over."""
        sign_in = self._pending[number]
        sign_in.tries += 1
        if sign_in.tries >= MAX_TRIES:
            self.end(number)
        return MAX_TRIES - sign_in.tries

    def end(self, number: str) -> None:
        """The owner has answered."""
        self._pending.pop(number, None)

    def approve(self, number: str, code: str) -> None:
        """The owner said yes: *code* stands for it, once and shortly."""
        sign_in = self._pending.pop(number)
        sign_in.expires_at = self._now() + CODE_S
        self._codes = {**self._fresh(self._codes), digest(code): sign_in}

    def take(self, code: str, client_id: str) -> SignIn | None:
        """What *code* stands for. Whoever shows it, it is used up; another app gets nothing for it."""
        found = self._codes.pop(digest(code), None)
        if found is None:
            return None
        is_good = found.client_id == client_id and found.expires_at > self._now()
        found.expires_at = self._now() + ANSWER_S
        self._used = {**self._fresh(self._used), digest(code): found}
        return found if is_good else None

    def used(self, code: str) -> SignIn | None:
        """The sign-in whose *code* was shown before; None when there is none, or long ago."""
        return self._used.get(digest(code))

    def end_caller(self, caller: str) -> bool:
        """Nothing comes any more of what was approved for *caller*. Returns whether there was something."""
        waiting = {one: its for one, its in self._fresh(self._codes).items() if its.caller == caller}
        self._codes = {one: its for one, its in self._codes.items() if one not in waiting}
        for its in (*waiting.values(), *(one for one in self._used.values() if one.caller == caller)):
            its.is_over = True
        return bool(waiting)

    def _fresh(self, all_: dict[str, SignIn]) -> dict[str, SignIn]:
        return {one: its for one, its in all_.items() if its.expires_at > self._now()}
