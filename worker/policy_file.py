"""The file `policy.toml`, read again when it changes.

A broken file refuses everything and says why: running with defaults after a typing mistake would
be the opposite of what its owner meant.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from relay.mistakes import explain
from worker.policy import Policy, Rejected


class PolicyFile:
    """The policy as the file says it now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: object = None
        self._read: Callable[[], Policy] = self._missing

    def current(self) -> Policy:
        """Today's policy. Raises Rejected while the file is missing or broken."""
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except OSError:
            return self._missing()
        if seen != self._seen:
            self._read, self._seen = _load(self._path), seen
        return self._read()

    def _missing(self) -> Policy:
        raise Rejected(
            f"There is no {self._path} on this machine, so nothing is allowed; make run writes one"
        )


def _load(path: Path) -> Callable[[], Policy]:
    try:
        policy = Policy.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as problem:
        why = explain(problem)
    except (OSError, ValueError) as problem:
        why = str(problem)
    except RecursionError:
        why = "it is nested too deeply"
    else:
        return lambda: policy

    def refuse() -> Policy:
        raise Rejected(f"{path} cannot be used ({why}), so nothing is allowed until it is put right")

    return refuse
