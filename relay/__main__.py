"""`python -m relay`: serve on HOST:PORT until told to stop."""

from __future__ import annotations

import logging
import os
import socket
import sys

import uvicorn
from pydantic import ValidationError

from relay.app import create_app
from relay.protocol import MAX_FRAME_BYTES, explain
from relay.settings import Settings
from relay.tables import CannotOpen

LOOK = "Look at .env and docs/CONFIGURATION.md"


def main() -> None:
    """Serve, or say in one sentence why not."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        settings = Settings.read()
        app = create_app(settings)
        listening = _listen(settings.host, settings.port)
    except ValidationError as problem:
        sys.exit(f"The relay cannot start: {explain(problem)}. {LOOK}")
    except (OSError, ValueError, CannotOpen) as problem:
        sys.exit(f"The relay cannot start: {problem}. {LOOK}")
    host, port = listening.getsockname()[:2]
    logging.getLogger("relay").info("The relay listens on http://%s:%d.", host, port)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http="httptools",
            ws="websockets-sansio",
            ws_max_size=MAX_FRAME_BYTES,
            # A dead machine is found within 20 seconds, also behind a proxy that keeps TCP alive.
            ws_ping_interval=10,
            ws_ping_timeout=10,
            # Our frames are small; compression would double the memory of a session.
            ws_per_message_deflate=False,
            # Longer than the 60 s for which hosting edges keep their own connection to us.
            timeout_keep_alive=75,
            # Sessions never end by themselves; without this a stop would wait for them for ever.
            timeout_graceful_shutdown=3,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
        )
    )
    server.run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        listening = socket.create_server((host, port), backlog=2048)
    except OSError as problem:
        raise OSError(
            f"HOST {host}, PORT {port} cannot be used ({os.strerror(problem.errno or 0)}); "
            "stop what uses it or set another PORT in .env"
        ) from None
    # asyncio turns Nagle's delay off only for sockets that it opened itself; with it, every answer
    # on a kept-open connection takes 40 milliseconds.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


if __name__ == "__main__":
    main()
