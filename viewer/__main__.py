"""`python -m viewer`: show the records at VIEWER_HOST:VIEWER_PORT until told to stop."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading

from pydantic import ValidationError
from waitress.server import create_server

from relay.protocol import explain
from viewer.app import MAX_REQUEST_BYTES, create_app
from viewer.settings import Settings
from worker.inbox import CannotOpen, open_inbox

LOOK = "Look at .env and docs/CONFIGURATION.md"
STOP_S = 0.8
"""How long a stop waits for answers under way."""


def main() -> None:
    """Serve, or say in one sentence why not."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    # "Task queue depth is 1" at every second page is no news for anybody.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    try:
        settings = Settings.read()
        app = create_app(open_inbox())
        listening = _listen(settings.viewer_host, settings.viewer_port)
    except ValidationError as problem:
        sys.exit(f"The viewer cannot start: {explain(problem)}. {LOOK}")
    except (OSError, ValueError, CannotOpen) as problem:
        sys.exit(f"The viewer cannot start: {problem}. {LOOK}")
    host, port = listening.getsockname()
    server = create_server(
        app,
        sockets=[listening],
        # Polls take half a millisecond, so eight threads hold hundreds of open pages. The look-ahead
        # lets waitress notice that a reader has gone away.
        threads=8,
        channel_request_lookahead=1,
        max_request_body_size=MAX_REQUEST_BYTES,
        max_request_header_size=16 * 1024,
        # More pages than that may be open: a kept connection costs nothing while it is quiet.
        connection_limit=400,
        channel_timeout=30,
        ident=None,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    logging.getLogger("viewer").info("The viewer is at http://%s:%d.", host, port)
    server.run()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=1024)
    except OSError as problem:
        raise OSError(
            f"VIEWER_HOST {host}, VIEWER_PORT {port} cannot be used ({os.strerror(problem.errno or 0)}); "
            "stop what uses it or set another VIEWER_PORT in .env"
        ) from None


def _stop(*_: object) -> None:
    # waitress would wait five seconds for a slow download. Nothing of ours can be lost: the viewer
    # writes nothing, and the inbox survives being cut off anywhere.
    timer = threading.Timer(STOP_S, os._exit, (0,))
    timer.daemon = True
    timer.start()
    sys.exit(0)


if __name__ == "__main__":
    main()
