"""What the viewer reads from the environment and `.env`, once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Self

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, field_validator


class Settings(BaseModel):
    """One frozen object; every problem is reported at once (`docs/CONFIGURATION.md`)."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=str.upper)

    viewer_host: str = "127.0.0.1"
    viewer_port: int = Field(default=5001, ge=0, le=65_535)

    @classmethod
    def read(cls, environment: Mapping[str, str | None] | None = None) -> Self:
        """Read *environment* (default: `.env`, overruled by the process environment).

        Raises ValidationError that names every problem, or OSError or ValueError for an unreadable file."""
        if environment is None:
            # Merged, not loaded into the environment: what a program inherits must hold no key.
            environment = {**dotenv_values(".env"), **os.environ}
        return cls.model_validate({name: value for name, value in environment.items() if value})

    @field_validator("viewer_host")
    @classmethod
    def _stays_on_this_machine(cls, value: str) -> str:
        # Whoever reaches the pages can read every output and run tasks again.
        if value not in {"127.0.0.1", "localhost"}:
            raise ValueError("only 127.0.0.1 or localhost is allowed, because the viewer has no login yet")
        return value
