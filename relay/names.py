"""What a name looks like and how people's names for things are compared; relay and machine must
agree about both. No I/O."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import Field

NAME = r"^[a-z0-9][a-z0-9_-]{0,31}$"
Name = Annotated[str, Field(pattern=NAME)]
HERE = "viewer"
"""The caller of what somebody asks for on the machine itself; no app is called so."""


def spoken_key(name: str) -> str:
    """*name* as it is compared: case, width and spacing do not matter when people speak."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(folded.replace("-", " ").replace("_", " ").split())
