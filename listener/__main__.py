"""`python -m listener`: stay connected to the relay until told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from pydantic import ValidationError

from listener.client import Client
from listener.endings import Hopeless
from listener.settings import Settings
from relay.hidden import hide
from relay.mistakes import explain
from worker.inbox import CannotOpen, open_inbox

LOOK = "Look at .env and docs/CONFIGURATION.md"


async def listen(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises Hopeless, or CannotOpen for records that cannot be used."""
    client = asyncio.create_task(Client(settings, open_inbox).run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, client.cancel)
    try:
        await client
    except asyncio.CancelledError:
        logging.getLogger("listener").info("The listener stops.")


def main() -> None:
    """Start, or say in one sentence why not."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    hide()
    try:
        asyncio.run(listen(Settings.read()))
    except Hopeless as reason:
        sys.exit(f"{reason}.")
    except ValidationError as problem:
        sys.exit(f"The listener cannot start: {explain(problem)}. {LOOK}")
    except CannotOpen as problem:
        sys.exit(f"The listener cannot start: {problem}.")
    except (OSError, ValueError) as problem:
        sys.exit(f"The listener cannot start: {problem}. {LOOK}")


if __name__ == "__main__":
    main()
