"""How people's names for things are compared; relay and machine must agree about it. No I/O."""

from __future__ import annotations

import unicodedata


def spoken_key(name: str) -> str:
    """*name* as it is compared: case, width and spacing do not matter when people speak."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(folded.replace("-", " ").replace("_", " ").split())
