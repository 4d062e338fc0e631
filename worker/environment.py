"""What a program gets to see of our environment: a short allow-list, never a key or a setting of ours;
and where in its PATH it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache

_INHERITED = ("HOME", "LANG", "LOGNAME", "SHELL", "TMPDIR", "TZ", "USER")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a program, with *extra* on top."""
    return {**_ours(), **(extra or {})}


@cache
def _ours() -> Mapping[str, str]:
    """What of ours it sees. Made once: it is asked for with every program, and does not change."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("LC_")}
    # Relative entries would let a project's own folder stand in for git or ls.
    path = [entry for entry in os.environ.get("PATH", os.defpath).split(":") if entry.startswith("/")]
    return {**kept, "PATH": ":".join(path), "TERM": "dumb"}


_places: dict[tuple[str, str], str] = {}


def found(name: str, path: str) -> str | None:
    """Where *name* is; None when nowhere. Asking for each is quicker than trying to execute each, and
    like a shell we stay with the place where it was found, while it is there."""
    if "/" in name:
        return None
    known = _places.get((name, path), "")
    for place in (known, *(f"{folder}/{name}" for folder in path.split(":"))):
        if place and os.access(place, os.X_OK) and os.path.isfile(place):  # noqa: PTH113
            _places[name, path] = place
            return place
    return None
