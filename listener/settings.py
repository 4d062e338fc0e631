"""What the listener reads from the environment and `.env`, once."""

from __future__ import annotations

from pydantic import Field

from relay.env import MachineEnvironment
from relay.names import NAME


class Settings(MachineEnvironment):
    """The machine's, and what it is called."""

    machine_name: str = Field(default="laptop", pattern=NAME)

    @property
    def websocket_url(self) -> str:
        """Where the machine's session is opened."""
        return "ws" + self.relay_address.removeprefix("http") + "/ws"
