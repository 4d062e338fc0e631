"""What the machine's records, queue and worker read from the environment and `.env`, once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from relay.protocol import RelayAddress, parse_keys


class Settings(BaseModel):
    """One frozen object; every problem is reported at once (`docs/CONFIGURATION.md`)."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=str.upper)

    relay_server_url: RelayAddress = "http://127.0.0.1:8000"
    machine_key: SecretStr
    sqlite_path: Path = Path("tasks.db")
    queue_url: str = "queue.db"
    policy_path: Path = Path("policy.toml")
    workers: int = Field(default=4, ge=1, le=64)

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read *environment* (default: `.env`, overruled by the process environment).

        Raises ValidationError that names every problem, or OSError for an unreadable `.env`."""
        if environment is None:
            dotenv = {name: value for name, value in dotenv_values(".env").items() if value}
            environment = {**dotenv, **os.environ}
        return cls.model_validate({name: value for name, value in environment.items() if value})

    @field_validator("machine_key")
    @classmethod
    def _is_one_key(cls, value: SecretStr) -> SecretStr:
        parse_keys(value.get_secret_value(), "laptop")
        return value

    @field_validator("queue_url")
    @classmethod
    def _is_a_file(cls, value: str) -> str:
        if "://" in value:
            raise ValueError("only a SQLite file is supported so far, for example ./queue.db")
        return value

    @property
    def own_key(self) -> str:
        """The key this machine shows to the relay: the first of MACHINE_KEY."""
        return next(iter(parse_keys(self.machine_key.get_secret_value(), "laptop")))

    @property
    def lock_path(self) -> Path:
        """Held by the one worker that may run on these records."""
        return self.sqlite_path.with_suffix(".lock")
