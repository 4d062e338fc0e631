"""What the listener reads from the environment and `.env`, once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Self

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from relay.env import RelayAddress, parse_keys
from relay.names import NAME


class Settings(BaseModel):
    """One frozen object; every problem is reported at once (`docs/CONFIGURATION.md`)."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=str.upper)

    relay_server_url: RelayAddress | None = None
    port: int = Field(default=8000, ge=0, le=65_535)
    machine_key: SecretStr
    machine_name: str = Field(default="laptop", pattern=NAME)

    @classmethod
    def read(cls, environment: Mapping[str, str | None] | None = None) -> Self:
        """Read *environment* (default: `.env`, overruled by the process environment).

        Raises ValidationError that names every problem, or OSError or ValueError for an unreadable file."""
        if environment is None:
            # Merged, not loaded into the environment: what a program inherits must hold no key.
            environment = {**dotenv_values(".env"), **os.environ}
        return cls.model_validate({name: value for name, value in environment.items() if value})

    @field_validator("machine_key")
    @classmethod
    def _check_key(cls, value: SecretStr) -> SecretStr:
        parse_keys(value.get_secret_value(), "laptop")
        return value

    @property
    def own_key(self) -> str:
        """The key this machine shows to the relay: the first of MACHINE_KEY."""
        return next(iter(parse_keys(self.machine_key.get_secret_value(), "laptop")))

    @property
    def relay_address(self) -> str:
        """Where the relay is; on this machine unless RELAY_SERVER_URL says otherwise."""
        return self.relay_server_url or f"http://127.0.0.1:{self.port}"

    @property
    def websocket_url(self) -> str:
        """Where the machine's session is opened."""
        return "ws" + self.relay_address.removeprefix("http") + "/ws"
