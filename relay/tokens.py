"""Which tokens open the relay's door: by digest, in memory, because every request is checked."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Grant:
    """What a token stands for. Tokens of one sign-in share a family and end together."""

    caller: str
    family: str
    expires_at: float


class Tokens:
    """The access tokens that are good. What ends one here ends it at the very next request."""

    def __init__(self, now: Callable[[], float]) -> None:
        """*now* gives seconds since 1970."""
        self._now = now
        self._grants: dict[str, Grant] = {}

    def find(self, token: str) -> str | None:
        """The caller's name behind *token*, or None. Looked up by digest, so time tells nothing."""
        grant = self._grants.get(digest(token))
        return grant.caller if grant and grant.expires_at > self._now() else None

    def keep(self, grants: Mapping[str, Grant]) -> None:
        """These are good from now on, by the digest of each token. Expired ones are forgotten."""
        now = self._now()
        self._grants = {one: its for one, its in self._grants.items() if its.expires_at > now} | dict(grants)

    def drop(self, families: set[str]) -> None:
        """End every token of these families."""
        self._grants = {one: its for one, its in self._grants.items() if its.family not in families}


def new_token(kind: str) -> str:
    """256 random bits, with a prefix by which people and scanners know what they have found."""
    return f"aiw_{kind}_{secrets.token_urlsafe(32)}"


def digest(token: str) -> str:
    """What is kept of a token: it cannot be used, and shows nothing."""
    return hashlib.sha256(token.encode()).hexdigest()
