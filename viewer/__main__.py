"""`python -m viewer`: show the records at VIEWER_HOST:VIEWER_PORT until told to stop. `python -m viewer
login`: print a code, with which one more browser may act and not only look."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sqlite3
import sys
import threading

from pydantic import ValidationError
from waitress.server import create_server

from relay.hidden import hide
from relay.mistakes import explain
from viewer.app import MAX_REQUEST_BYTES, create_app
from viewer.devices import Devices, Unusable, explained
from viewer.settings import Settings
from worker import marks
from worker.inbox import CannotOpen, open_inbox

log = logging.getLogger("viewer")

LOOK = "Look at .env and docs/CONFIGURATION.md"
STOP_S = 0.8
"""How long a stop waits for answers under way."""


def main() -> None:
    """Serve, or print a code, or say in one sentence why not."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    # "Task queue depth is 1" at every second page is no news for anybody.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    # A program that the worker runs must not read codes and cookies in our memory.
    hide()
    is_login = sys.argv[1:] == ["login"]
    what = "There is no code" if is_login else "The viewer cannot start"
    try:
        settings = Settings.read()
        if is_login:
            print(_invitation(settings))  # noqa: T201 - talking to a person at a terminal
        else:
            serve(settings)
    except Unusable as problem:
        sys.exit(f"{what}: {problem}.")
    except ValidationError as problem:
        sys.exit(f"{what}: {explain(problem)}. {LOOK}")
    except (OSError, ValueError, CannotOpen, sqlite3.Error) as problem:
        sys.exit(f"{what}: {problem}. {LOOK}")


def serve(settings: Settings) -> None:
    """Answer until SIGTERM or SIGINT. Raises what `main` explains when it cannot begin."""
    # First the records, so that a wrong SQLITE_PATH is told in the words of every other process.
    inbox = open_inbox()
    with explained(settings.devices_path):
        devices = Devices(settings.devices_path)
        code = devices.new_code()
    app = create_app(inbox, devices, settings)
    app.extensions["desk"].start()
    listening = _listen(settings.viewer_host, settings.viewer_port)
    address = settings.own_address(listening.getsockname()[1])
    log.info("The viewer is at %s.", address)
    log.info("Connect this browser: %s/login?code=%s", address, code)
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
        # They are never believed. But who sends them is no browser on this machine: `access.is_local`.
        clear_untrusted_proxy_headers=False,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    server.run()


def _invitation(settings: Settings) -> str:
    if marks.is_on_us(marks.marker_of(settings.sqlite_path)):
        sys.exit("A task cannot connect a browser; run this yourself, in a terminal on the machine.")
    if not settings.devices_path.exists():
        sys.exit(
            f"There is no {settings.devices_path} here; start the viewer, or go to the folder where it runs."
        )
    with explained(settings.devices_path):
        code = Devices(settings.devices_path).new_code()
    own = f"{settings.own_address(settings.viewer_port)}/login?code={code}"
    elsewhere = "".join(f"\n  Elsewhere     {origin}/login" for origin in settings.origins)
    return f"""
  Here          {own}{elsewhere}
  Code          {code}

It works once, and for ten minutes.
"""


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
    # writes little, and the inbox survives being cut off anywhere.
    timer = threading.Timer(STOP_S, os._exit, (0,))
    timer.daemon = True
    timer.start()
    sys.exit(0)


if __name__ == "__main__":
    main()
