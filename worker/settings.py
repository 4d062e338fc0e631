"""What the machine's records, queue and worker read from the environment and `.env`, once."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from relay.env import Environment, Keys, MachineEnvironment, PublicAddress, parse_keys
from relay.names import NAME


class Places(Environment):
    """Where the machine keeps things: all that the inbox needs, which the listener and the viewer open."""

    sqlite_path: Path = Path("tasks.db")
    queue_url: str = "queue.db"
    policy_path: Path = Path("policy.toml")

    @field_validator("queue_url")
    @classmethod
    def _is_a_file(cls, value: str) -> str:
        if "://" in value:
            raise ValueError("only a SQLite file is supported so far, for example ./queue.db")
        return value


class Settings(MachineEnvironment, Places):
    """What the worker needs."""

    workers: int = Field(default=4, ge=1, le=64)
    retention_days: float = Field(default=30, gt=0)

    @property
    def lock_path(self) -> Path:
        """Held by the one worker that may run on these records."""
        return self.sqlite_path.with_suffix(".lock")


class ChainSettings(Settings):
    """What somebody needs who starts or checks all four processes."""

    api_key: Keys
    machine_name: str = Field(default="laptop", pattern=NAME)
    relay_sqlite_path: Path = Path("relay.db")
    host: str = "127.0.0.1"
    public_url: PublicAddress | None = None
    viewer_host: str = "127.0.0.1"
    viewer_port: int = Field(default=5001, ge=0, le=65_535)

    @property
    def own_api_key(self) -> str:
        """The first of API_KEY, for calls from this machine."""
        return next(iter(parse_keys(self.api_key.get_secret_value(), "default")))

    @property
    def own_name(self) -> str:
        """What this machine is called: by the name of its key, else by MACHINE_NAME."""
        return parse_keys(self.machine_key.get_secret_value(), self.machine_name)[self.own_key]

    @property
    def relay_is_here(self) -> bool:
        """Whether the relay is to run on this machine, beside the other three."""
        return urlsplit(self.relay_address).hostname in {"127.0.0.1", "localhost", "::1"}

    @property
    def relay_is_public(self) -> bool:
        """Whether others than this machine can reach the relay, as far as the settings tell."""
        is_local = self.relay_is_here and self.host in {"127.0.0.1", "localhost", "::1"}
        return not is_local or self.public_url is not None

    @property
    def viewer_address(self) -> str:
        """Where a program on this machine finds the viewer."""
        host = "127.0.0.1" if self.viewer_host == "0.0.0.0" else self.viewer_host  # noqa: S104 - compared
        return f"http://{host}:{self.viewer_port}"
