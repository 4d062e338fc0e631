"""Which tasks the list shows: all of it stands in the address, so it can be kept, shared and gone back to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from flask import abort, request

from relay.names import NAME
from relay.protocol import Status
from viewer import asked

MAX_WORDS_CHARS = 200


@dataclass(frozen=True)
class Filter:
    """What is asked for; without anything it is everything."""

    status: Status | None = None
    action: str | None = None
    words: str = ""
    before: int | None = None
    """Only tasks that were made before the one with this `seq`."""

    @classmethod
    def read(cls, values: Mapping[str, str]) -> Self:
        """The filter in the query (or form) *values*. Ends the request with a 400 for what makes no sense."""
        before = asked.number_or_none("before") if values is request.args else None
        words = " ".join(values.get("q", "")[:MAX_WORDS_CHARS].split())
        return cls(_status(values.get("status")), _action(values.get("action")), words, before)

    @property
    def is_narrow(self) -> bool:
        """Whether anything is left out, apart from paging."""
        return bool(self.status or self.action or self.words)

    @property
    def query(self) -> dict[str, str | int | None]:
        """The same as parameters of an address."""
        return {
            "status": self.status,
            "action": self.action,
            "q": self.words or None,
            "before": self.before,
        }

    def but(self, **changes: object) -> Self:
        """The same with *changes*, from the newest on."""
        return replace(self, **{"before": None, **changes})  # type: ignore[arg-type]  # names are checked by replace


def _status(name: str | None) -> Status | None:
    if not name:
        return None
    try:
        return Status(name)
    except ValueError:
        abort(400, f"There is no status {name[:40]!r}; there are {', '.join(Status)}")


def _action(name: str | None) -> str | None:
    if not name:
        return None
    if not re.match(NAME, name):
        abort(400, f"An action is called like git or claude_code, not {name[:40]!r}")
    return name
