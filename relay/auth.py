"""Who is asking: keys by digest, GitHub by signature. Nothing here ever stores or shows a key."""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections.abc import Callable, Mapping

from standardwebhooks.webhooks import Webhook
from starlette.requests import HTTPConnection

from relay.errors import Code, Problem
from relay.limits import Buckets
from relay.settings import GITHUB, Settings
from relay.signins import SignIns
from relay.tokens import Tokens

FAILURES_PER_MINUTE = 20
_KEY_IN_ADDRESS = {"key", "api_key", "apikey", "token", "access_token"}


_Find = Callable[[str], str | None]
"""From a key to the name behind it."""


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
    """The relay's kinds of visitor: callers with a key or a token, callers who sign, GitHub, machines."""

    def __init__(
        self, settings: Settings, clock: Callable[[], float], now: Callable[[], float] = time.time
    ) -> None:
        """*clock* gives seconds and never goes back, *now* seconds since 1970."""
        secret = settings.github_webhook_secret
        self.callers = Keyring(settings.callers())
        self.machines = Keyring(settings.machines())
        self.tokens = Tokens(now)
        self.sign_ins = SignIns(now)
        self._owner = Keyring(dict([next(iter(settings.callers().items()))]))
        self._signers = {name: Webhook(secret) for secret, name in settings.signers().items()}
        self._github_secret = secret.get_secret_value().encode() if secret else None
        self._rate = Buckets(settings.rate_limit_per_minute, clock)
        self._failures = Buckets(FAILURES_PER_MINUTE, clock)

    def caller(self, connection: HTTPConnection) -> str:
        """The caller's name. Raises Problem 401, 403 for a machine's key, 429 when it is too often."""
        return self._not_too_often(
            self._enter(connection, self._find_caller, self.machines.find, "an API key", "API_KEY")
        )

    def owner(self, connection: HTTPConnection) -> str:
        """As `caller`, for what only the owner may do: whoever has the first key of API_KEY."""
        self.caller(connection)
        return self._enter(connection, self._owner.find, self._find_caller, "the owner's key", "API_KEY")

    def is_owner(self, connection: HTTPConnection, key: str) -> bool:
        """Whether *key*, which a person has typed, is the owner's. Raises Problem 429 when too many
        wrong ones come from this address."""
        if self._owner.find(key.strip()):
            return True
        refusal = self._refusal(connection, Code.UNKNOWN_KEY, "That is not the owner's key")
        if refusal.code is Code.TOO_MANY:
            raise refusal
        return False

    def names(self) -> set[str]:
        """The names that are taken: of keys, of secrets, of GitHub."""
        return {*self.callers.names(), *self.machines.names(), *self._signers, GITHUB}

    def _find_caller(self, key: str) -> str | None:
        return self.callers.find(key) or self.tokens.find(key)

    def machine(self, connection: HTTPConnection) -> str:
        """The machine's name. Raises Problem 401, 403 for a caller's key."""
        return self._enter(connection, self.machines.find, self._find_caller, "a machine key", "MACHINE_KEY")

    def github(self, connection: HTTPConnection, body: bytes) -> str:
        """Check GitHub's HMAC-SHA256 over the raw body. Raises Problem 401 or 429."""
        if self._github_secret is None:
            raise self._refusal(
                connection,
                Code.BAD_SIGNATURE,
                "A GitHub signature came, but this relay has no GITHUB_WEBHOOK_SECRET; set it in .env",
            )
        wanted = "sha256=" + hmac.new(self._github_secret, body, hashlib.sha256).hexdigest()
        # Compared as bytes: compare_digest raises on text that is not ASCII.
        seen = connection.headers["x-hub-signature-256"].encode()
        if not hmac.compare_digest(wanted.encode(), seen):
            raise self._refusal(
                connection,
                Code.BAD_SIGNATURE,
                "X-Hub-Signature-256 does not match this body; "
                "the secret at GitHub and GITHUB_WEBHOOK_SECRET differ",
            )
        return self._not_too_often(GITHUB)

    def signer(self, connection: HTTPConnection, body: bytes) -> str:
        """The name behind a Standard Webhooks signature, not older than 5 minutes. Raises Problem."""
        headers = dict(connection.headers)
        for name, webhook in self._signers.items():
            try:
                webhook.verify(body, headers, json_parse=False)
            except Exception:  # noqa: BLE001, S112 - the library raises anything for odd headers; all mean no
                continue
            return self._not_too_often(name)
        raise self._refusal(
            connection,
            Code.BAD_SIGNATURE,
            "webhook-signature does not match this body and time; compare the secret with WEBHOOK_SECRET "
            "in .env, and the clocks",
        )

    def _enter(self, connection: HTTPConnection, own: _Find, other: _Find, kind: str, setting: str) -> str:
        if connection.scope["query_string"] and _KEY_IN_ADDRESS & connection.query_params.keys():
            raise self._refusal(
                connection,
                Code.UNKNOWN_KEY,
                "A key came in the address, which ends in logs; send it as X-API-Key",
            )
        key = presented_key(connection.headers)
        if key is None:
            text = f"No key came; send {kind} as X-API-Key or Authorization: Bearer"
            if connection.headers.get("authorization", "bearer").partition(" ")[0].lower() != "bearer":
                text = (
                    "Authorization came without Bearer; write Bearer before the key, and a blank between them"
                )
            raise self._refusal(connection, Code.UNKNOWN_KEY, text)
        if name := own(key):
            return name
        if other(key):
            raise Problem(Code.WRONG_SCOPE, f"This key is for something else; here {kind} is needed")
        text = f"The key is not one of this relay's; compare it with {setting} in .env"
        raise self._refusal(connection, Code.UNKNOWN_KEY, text)

    def _not_too_often(self, name: str) -> str:
        if seconds := self._rate.take(name):
            raise Problem(
                Code.TOO_MANY,
                f"{name} asked more often than RATE_LIMIT_PER_MINUTE allows; wait {seconds:.1f} seconds",
                retry_after=math.ceil(seconds),
            )
        return name

    def _refusal(self, connection: HTTPConnection, code: Code, text: str) -> Problem:
        """The 401; a 429 once this address was refused too often.

        Only refusals are counted, never a right key: behind a proxy everybody has the same address,
        and a stranger must not be able to lock the owner out."""
        address = connection.client.host if connection.client else "unknown"
        if seconds := self._failures.take(address):
            text = f"Too many wrong keys or signatures came from {address}; wait {seconds:.0f} seconds"
            return Problem(Code.TOO_MANY, text, retry_after=math.ceil(seconds))
        return Problem(code, text)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
