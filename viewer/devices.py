"""Who is connected: browsers that were let in with a code, each until it is forgotten.

The file holds digests only, so reading it opens nothing. Whoever may write it, as every program of its owner
may, can let itself in: it keeps the honest honest, and is no wall against what runs as its owner.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CODE_S = 600
"""How long a code is good."""
TRIES = 5
"""Wrong codes from one address, until ten minutes later or until somebody at the machine makes a new code."""
UNSEEN_S = 90 * 86_400
"""A device that stays away so long is forgotten."""
_SEEN_EVERY_S = 60
_LOOKS, _LOOKS_S = 20, 60.0
"""So often in a minute it is told whether a code is good, whoever asks: a look counts as no try, and each
costs what a try does."""
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Nothing that looks like something else."""
_CODE_CHARS = 8

_TABLES = """
CREATE TABLE IF NOT EXISTS devices (
    id INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
    created_at REAL NOT NULL, seen_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS codes (digest TEXT NOT NULL PRIMARY KEY, expires_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS tries (
    address TEXT NOT NULL PRIMARY KEY, count INTEGER NOT NULL, since REAL NOT NULL);
"""
_COUNT_TRY = """
INSERT INTO tries VALUES (:address, 1, :now) ON CONFLICT DO UPDATE SET
    count = CASE WHEN since < :now - :span THEN 1 ELSE count + 1 END,
    since = CASE WHEN since < :now - :span THEN :now ELSE since END
RETURNING count
"""


class Unusable(Exception):
    """The file cannot be used; the text names it, says why, and what to do."""


class WrongCode(Exception):
    """No such code, or not any more: used, or too old."""


class TooManyTries(WrongCode):
    """This address has to wait, or to get a new code."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """For a terminal: whatever is wrong with the file at *path* inside the block becomes Unusable."""
    try:
        yield
    except OSError as problem:
        raise Unusable(f"{path} cannot be opened ({problem.strerror}); look at its folder and mode") from None
    except sqlite3.OperationalError as problem:
        raise Unusable(
            f"{path} cannot be used ({problem}); see that the disk has room and that nothing else holds the "
            "file, and try again"
        ) from None
    except sqlite3.Error as problem:
        raise Unusable(
            f"{path} is damaged ({problem}); move it away, start the viewer, and connect each browser anew"
        ) from None


@dataclass(frozen=True)
class Device:
    """A connected browser."""

    id: int
    name: str  #: such as `Safari on iPhone`
    created_at: datetime
    seen_at: datetime  #: to the minute


class Devices:
    """The connected devices and the codes that wait, in one SQLite file that only its owner may read."""

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Opens *path*, and makes it when it is absent. Raises OSError or sqlite3.Error."""
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
        self._clock = now
        self._lock = threading.Lock()
        self._looks: deque[float] = deque(maxlen=_LOOKS)
        self._unwelcomed: set[str] = set()
        # Commits by itself, statement by statement; one connection for all threads, held for microseconds.
        self._file = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
        self._file.executescript(_TABLES)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def new_code(self) -> str:
        """A code such as `K7QM-3XTB`, good for one device and CODE_S seconds."""
        code = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_CHARS))
        now, digest = self._seconds(), _code_digest(code)
        self._do("DELETE FROM codes WHERE expires_at < ?", now)
        self._do("DELETE FROM devices WHERE seen_at < ?", now - UNSEEN_S)
        # Whoever asks for a code at the machine is not to be locked out by what others tried.
        self._do("DELETE FROM tries")
        self._do("INSERT INTO codes VALUES (?, ?)", digest, now + CODE_S)
        return f"{code[:4]}-{code[4:]}"

    def connect(self, code: str, *, address: str, name: str) -> str:
        """Use up *code*, typed in any case and spacing, for a device that calls itself *name*; returns
        the token that it shows from now on. Raises WrongCode or TooManyTries; tries count per *address*."""
        now = self._seconds()
        # Counted before it is looked at, so that many at once are no more than one after the other.
        [(tries,)] = self._do(_COUNT_TRY, {"address": address, "now": now, "span": CODE_S})
        if tries > TRIES:
            raise TooManyTries
        digest = _typed_digest(code)
        if not self._do("DELETE FROM codes WHERE digest = ? AND expires_at >= ? RETURNING 1", digest, now):
            raise WrongCode
        self._do("DELETE FROM tries WHERE address = ?", address)
        token = self.remember(name)
        self._unwelcomed.add(_token_digest(token))
        return token

    def is_over(self, code: str) -> bool:
        """Whether *code* is known to let nobody in, or not any more. It is not used up, and counts as no try;
        when many ask, nothing is known."""
        now = self._seconds()
        if len(self._looks) == _LOOKS and now - self._looks[0] < _LOOKS_S:
            return False
        self._looks.append(now)
        good = "SELECT 1 FROM codes WHERE digest = ? AND expires_at >= ?"
        return not self._do(good, _typed_digest(code), now)

    def is_welcome(self, token: str) -> bool:
        """Whether the device that shows this token was let in by a code and nobody has said so yet. Once."""
        digest = _token_digest(token)
        with self._lock:
            is_new = digest in self._unwelcomed
            self._unwelcomed.discard(digest)
        return is_new

    def remember(self, name: str) -> str:
        """Connect a device that has proved itself already; returns its token."""
        now, token = self._seconds(), secrets.token_urlsafe(32)
        self._do(
            "INSERT INTO devices (digest, name, created_at, seen_at) VALUES (?, ?, ?, ?)",
            _token_digest(token), name, now, now,
        )  # fmt: skip
        return token

    def find(self, token: str | None) -> Device | None:
        """The device that shows this token, which has been seen by that; None when there is none."""
        if not token:
            return None
        now = self._seconds()
        found = self._do(f"{_SELECT} WHERE digest = ? AND seen_at >= ?", _token_digest(token), now - UNSEEN_S)
        if not found:
            return None
        device = _device(*found[0])
        if now - device.seen_at.timestamp() > _SEEN_EVERY_S:
            # A full disk keeps nobody from looking.
            with suppress(sqlite3.OperationalError):
                self._do("UPDATE devices SET seen_at = ? WHERE id = ?", now, device.id)
        return device

    def forget(self, number: int) -> None:
        """Let the device with this id in no more."""
        self._do("DELETE FROM devices WHERE id = ?", number)

    def all(self) -> list[Device]:
        """Who is connected, the last seen first."""
        since = self._seconds() - UNSEEN_S
        rows = self._do(f"{_SELECT} WHERE seen_at >= ? ORDER BY seen_at DESC, id DESC", since)
        return [_device(*row) for row in rows]

    def _seconds(self) -> float:
        return self._clock().timestamp()

    def _do(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:  # Any: what SQLite stores
        named = values[0] if values and isinstance(values[0], dict) else values
        with self._lock, closing(self._file.execute(statement, named)) as found:
            return found.fetchall()


_SELECT = "SELECT id, name, created_at, seen_at FROM devices"


def _device(number: int, name: str, created_at: float, seen_at: float) -> Device:
    return Device(number, name, datetime.fromtimestamp(created_at, UTC), datetime.fromtimestamp(seen_at, UTC))


def _typed_digest(code: str) -> str:
    """Of a code in any case and spacing; no digest at all when it cannot be one."""
    plain = "".join(code.split()).replace("-", "").upper()
    return _code_digest(plain) if len(plain) == _CODE_CHARS else ""


def _code_digest(code: str) -> str:
    # Slow, because a code is short: in the minutes that it lives nobody finds it from its digest.
    return hashlib.scrypt(code.encode("utf-8", "replace"), salt=b"ai-webhook code", n=2**14, r=8, p=1).hex()


def _token_digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
