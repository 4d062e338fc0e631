"""`python -m relay`: serve on HOST:PORT until told to stop."""

from __future__ import annotations

import logging
import sys

from pydantic import ValidationError

from relay.app import create_app
from relay.hidden import hide
from relay.mistakes import explain
from relay.server import CannotListen, listen, serve
from relay.settings import Settings
from relay.tables import CannotOpen

LOOK = "Look at .env and docs/CONFIGURATION.md"


def main() -> None:
    """Serve, or say in one sentence why not."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    hide()
    try:
        settings = Settings.read()
        app = create_app(settings)
        listening = listen(settings.host, settings.port)
    except ValidationError as problem:
        sys.exit(f"The relay cannot start: {explain(problem)}. {LOOK}")
    except (OSError, ValueError, CannotOpen, CannotListen) as problem:
        sys.exit(f"The relay cannot start: {problem}. {LOOK}")
    host, port = listening.getsockname()[:2]
    logging.getLogger("relay").info("The relay listens on http://%s:%d.", host, port)
    serve(app, listening, app.state.stopping)


if __name__ == "__main__":
    main()
