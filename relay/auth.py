"""Who is asking: keys by digest, GitHub by signature. Nothing here ever stores or shows a key."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from relay.errors import Code, Problem


class Keyring:
    """Names behind keys of one kind. Only digests are kept, so no dump or log can show a key."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._names = {_digest(key): name for key, name in keys.items()}

    def names(self) -> list[str]:
        return sorted(set(self._names.values()))

    def find(self, key: str) -> str | None:
        """The name behind *key*, or None. Takes the same time for every wrong key."""
        seen = _digest(key)
        found = None
        for digest, name in self._names.items():
            if hmac.compare_digest(digest, seen):
                found = name
        return found


def presented_key(headers: Mapping[str, str]) -> str | None:
    """The key in `Authorization: Bearer` or `X-API-Key`; never from the URL, which ends in logs."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key", "").strip() or None


class Doors:
    """The relay's three kinds of visitor: callers, machines, GitHub."""

    def __init__(
        self, callers: Mapping[str, str], machines: Mapping[str, str], github_secret: str | None
    ) -> None:
        self.callers = Keyring(callers)
        self.machines = Keyring(machines)
        self._github_secret = github_secret.encode() if github_secret else None

    def caller(self, headers: Mapping[str, str]) -> str:
        """The caller's name. Raises Problem 401, or 403 for a machine's key."""
        return self._enter(headers, self.callers, self.machines, "an API key", "API_KEY")

    def machine(self, headers: Mapping[str, str]) -> str:
        """The machine's name. Raises Problem 401, or 403 for a caller's key."""
        return self._enter(headers, self.machines, self.callers, "a machine key", "MACHINE_KEY")

    def github(self, headers: Mapping[str, str], body: bytes) -> None:
        """Check GitHub's HMAC-SHA256 over the raw body. Raises Problem 401."""
        if self._github_secret is None:
            raise Problem(
                Code.BAD_SIGNATURE,
                "A GitHub signature came, but this relay has no GITHUB_WEBHOOK_SECRET; set it in .env",
            )
        wanted = "sha256=" + hmac.new(self._github_secret, body, hashlib.sha256).hexdigest()
        # Compared as bytes: compare_digest raises on text that is not ASCII.
        seen = headers["x-hub-signature-256"].encode()
        if not hmac.compare_digest(wanted.encode(), seen):
            raise Problem(
                Code.BAD_SIGNATURE,
                "X-Hub-Signature-256 does not match this body; "
                "the secret at GitHub and GITHUB_WEBHOOK_SECRET differ",
            )

    def _enter(
        self, headers: Mapping[str, str], own: Keyring, other: Keyring, kind: str, setting: str
    ) -> str:
        key = presented_key(headers)
        if key is None:
            raise Problem(
                Code.UNKNOWN_KEY,
                f"No key came; send {kind} as X-API-Key or Authorization: Bearer",
            )
        if name := own.find(key):
            return name
        if other.find(key):
            raise Problem(Code.WRONG_SCOPE, f"This key is for something else; here {kind} is needed")
        raise Problem(
            Code.UNKNOWN_KEY,
            f"The key is not one of this relay's; compare it with {setting} in .env",
        )


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
