"""What relay and machine both read in `.env`, and how: keys, where the relay is, which stores there are."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Self
from urllib.parse import urlsplit, urlunsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator

from relay.names import NAME

MIN_KEY_CHARS = 16


def parse_keys(text: str, unnamed: str) -> dict[str, str]:
    """Key → name, from `name=key,name=key`; a key without a name belongs to *unnamed*.

    Raises ValueError for short, repeated or odd keys, without ever showing one."""
    keys: dict[str, str] = {}
    for number, entry in enumerate(filter(None, map(str.strip, text.split(","))), start=1):
        name, found, key = entry.partition("=")
        if not (found and key.strip("=") and re.fullmatch(NAME, name)):
            name, key = unnamed, entry
        if len(key) < MIN_KEY_CHARS:
            raise ValueError(f"key {number} has {len(key)} characters; use {MIN_KEY_CHARS} or more")
        if not re.fullmatch(r"[\x21-\x7e]+", key) or key in keys:
            raise ValueError(f"key {number} is given twice, or holds spaces or characters that are not ASCII")
        keys[key] = name
    if not keys:
        raise ValueError("no key is given")
    return keys


def _keys(value: SecretStr) -> SecretStr:
    parse_keys(value.get_secret_value(), "nobody")
    return value


Keys = Annotated[SecretStr, AfterValidator(_keys)]
"""One key or several, as `parse_keys` takes them."""


def _relay_address(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in {"http", "https", "ws", "wss"} or not url.hostname or url.port == 0:
        raise ValueError("an address like https://relay.example is needed")
    secure = url.scheme in {"https", "wss"}
    if not secure and url.hostname not in {"127.0.0.1", "localhost", "::1"}:
        raise ValueError("a relay on another host needs https, or the key would travel in the open")
    path = url.path.removesuffix("/ws").rstrip("/")
    return urlunsplit(("https" if secure else "http", url.netloc, path, "", ""))


RelayAddress = Annotated[str, AfterValidator(_relay_address)]
"""Where the relay is: http(s) without a trailing slash, whatever of http, ws and `/ws` was written."""


def _public_address(text: str) -> str:
    address = _relay_address(text)
    if urlsplit(address).path:
        raise ValueError("the address must end after the host, like https://relay.example")
    return address


PublicAddress = Annotated[str, AfterValidator(_public_address)]
"""Where the world reaches the relay: as RelayAddress, and with nothing after the host."""


def _inherited() -> dict[str, str]:
    """The process environment. `honcho start` gives every process a PORT of its own there; ours is one
    for all of them, where the relay is."""
    found = dict(os.environ)
    if "HONCHO_PROCESS_NAME" in found:
        found.pop("PORT", None)
    return found


class Environment(BaseModel):
    """What a process reads, once: frozen, and every problem is told at once (`docs/CONFIGURATION.md`)."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=str.upper)

    storage_backend: str = "sqlite"
    database_url: str | None = None

    @classmethod
    def read(cls, environment: Mapping[str, str | None] | None = None) -> Self:
        """Read *environment* (default: `.env`, overruled by the process environment).

        Raises ValidationError that names every problem, or OSError or ValueError for an unreadable file."""
        if environment is None:
            # Merged, not loaded into the environment: what a program inherits must hold no key.
            environment = {**dotenv_values(".env"), **_inherited()}
        # An empty value means "not set": that is how .env.example shows optional settings.
        return cls.model_validate({name: value for name, value in environment.items() if value})

    @field_validator("storage_backend")
    @classmethod
    def _is_built(cls, value: str) -> str:
        if value != "sqlite":
            raise ValueError("only sqlite is supported so far")
        return value

    @field_validator("database_url")
    @classmethod
    def _is_not_needed(cls, value: str) -> str:  # noqa: ARG003 - each is one too many
        # Whoever names a server believes that it keeps his tasks.
        raise ValueError(
            "no database server is supported so far; leave it empty, everything is kept in files"
        )


class MachineEnvironment(Environment):
    """What every process reads that speaks to the relay for a machine."""

    relay_server_url: RelayAddress | None = None
    port: int = Field(default=8000, ge=0, le=65_535)
    machine_key: Keys

    @property
    def own_key(self) -> str:
        """The key this machine shows to the relay: the first of MACHINE_KEY."""
        return next(iter(parse_keys(self.machine_key.get_secret_value(), "nobody")))

    @property
    def relay_address(self) -> str:
        """Where the relay is; on this machine unless RELAY_SERVER_URL says otherwise."""
        return self.relay_server_url or f"http://127.0.0.1:{self.port}"
