"""What the viewer reads from the environment and `.env`, once."""

from __future__ import annotations

import socket
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from relay.env import Environment
from viewer import access


class Settings(Environment):
    """Where it listens, for whom, and beside which records."""

    viewer_host: str = "127.0.0.1"
    viewer_port: int = Field(default=5001, ge=0, le=65_535)
    viewer_origins: str | None = None
    sqlite_path: Path = Path("tasks.db")

    @field_validator("viewer_host")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if value != "localhost":
            try:
                IPv4Address(value)
            except ValueError:
                raise ValueError("an IPv4 address of this machine is needed, 127.0.0.1 or 0.0.0.0") from None
        return value

    @field_validator("viewer_origins")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        return " ".join(access.parse_origins(value))

    @model_validator(mode="after")
    def _others_have_a_way_to_pair(self) -> Self:
        # Pairing is set up when it is known by which address other devices come: codes and QR codes lead
        # there, and the viewer answers to no other name.
        if self.reaches_out and not self.origins:
            way_out = f"VIEWER_ORIGINS=http://{lan_address()}:{self.viewer_port}"
            raise ValueError(
                f"VIEWER_HOST {self.viewer_host} lets other devices in, but nothing says where they sign in; "
                f"set {way_out} as well, or leave VIEWER_HOST at 127.0.0.1"
            )
        return self

    @property
    def reaches_out(self) -> bool:
        """Whether it listens for others than this machine itself."""
        return self.viewer_host not in {"127.0.0.1", "localhost"}

    @property
    def origins(self) -> tuple[str, ...]:
        """Addresses of the viewer other than those of this machine itself."""
        return tuple((self.viewer_origins or "").split())

    @property
    def devices_path(self) -> Path:
        """Where it is kept who is connected: beside the records."""
        return self.sqlite_path.with_suffix(".devices.db")

    def own_address(self, port: int) -> str:
        """Where a browser on this machine finds the viewer, which listens on *port*."""
        if not self.reaches_out or self.viewer_host == "0.0.0.0":  # noqa: S104 - compared
            return f"http://127.0.0.1:{port}"
        (own,) = access.parse_origins(f"http://{self.viewer_host}:{port}")
        return own if own in self.origins else self.origins[0]

    @property
    def cookie(self) -> str:
        """The name of a connected browser's cookie; with the port, as the ports of a host share cookies."""
        return f"ai_webhook_{self.viewer_port}"


def lan_address() -> str:
    """This machine's address in its network, as far as it can be told; nothing is sent to find out."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Only chooses the way there; 192.0.2.1 is nobody's (RFC 5737).
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return "192.168.1.20"
