"""`python -m worker`: run what waits, until told to stop."""

from __future__ import annotations

import itertools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from dotenv import dotenv_values
from pydantic import ValidationError

from relay.hidden import hide
from relay.mistakes import explain
from worker import actions, agents, descendants, marks, models, moves, recovery
from worker.clock import steady_clock, wall_clock
from worker.policy_file import PolicyFile
from worker.process import Guardian
from worker.redact import Redactor, known_secrets
from worker.reporter import Reporter
from worker.runner import Runner
from worker.schema import open_database
from worker.settings import Settings
from worker.tasks import Queue

log = logging.getLogger("worker")

SWEEP_S = 5.0
FORGET_EVERY = 720
"""In rounds of SWEEP_S: once an hour."""
LOOK_EVERY_S = 300.0
INTERRUPT_S = 2.5
LOOK = "Look at .env and docs/CONFIGURATION.md"


def main() -> None:
    """Work, or say in one sentence why not."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    hide()
    try:
        settings = Settings.read()
        open_database(settings.sqlite_path)
        lock = recovery.hold_lock(settings.lock_path)
        queue = Queue(Path(settings.queue_url))
    except ValidationError as problem:
        sys.exit(f"The worker cannot start: {explain(problem)}. {LOOK}")
    except models.CannotOpen as problem:
        sys.exit(f"The worker cannot start: {problem}.")
    except (OSError, ValueError) as problem:
        sys.exit(f"The worker cannot start: {problem}. {LOOK}")
    work(settings, queue)
    # Kept until the very end: while programs are being ended, nobody else may begin.
    assert lock


def work(settings: Settings, queue: Queue) -> None:
    """Recover, then answer the bell until SIGTERM or SIGINT."""
    marker = recovery.new_marker(settings.sqlite_path)
    descendants.adopt(marker)
    guardian = Guardian(marker)
    reporter = Reporter(settings)
    actions.catalogue()  # Now, not when the first command waits for it: a fifth of a second.
    steady = steady_clock()
    secrets = known_secrets(dotenv_values(".env")) | known_secrets(os.environ)
    policy = PolicyFile(settings.policy_path)
    runner = Runner(policy, reporter, marker, Redactor(secrets), steady=steady)
    recovery.recover(queue, marks.marker_of(settings.sqlite_path), wall_clock())
    recovery.clear_up(f"{marker}:0-0")
    reporter.start()
    threading.Thread(target=_look_around, args=(f"{marker}:look",), name="looker", daemon=True).start()
    facts = (queue, settings, guardian, steady)
    threading.Thread(target=_sweep, args=facts, name="sweeper", daemon=True).start()
    log.info("The worker runs up to %d tasks at a time.", settings.workers)
    queue.consume(runner.run, settings.workers)
    runner.stop(INTERRUPT_S)
    reporter.stop(1)


def _look_around(marker: str) -> None:
    """Find out now and then which assistants can be called here, on a thread of its own: they are programs
    that may take their time."""
    while True:
        for action in actions.catalogue().values():
            try:
                if found := action.look(marker):
                    agents.record(found, wall_clock())
            except models.STORE_ERRORS as problem:
                log.warning("Which assistants are here cannot be recorded now (%s).", problem)
            except Exception:
                # The edge of a thread that nobody watches: an action's fault must not end it silently.
                log.exception("%s could not be looked for.", action.__name__)
        time.sleep(LOOK_EVERY_S)


def _sweep(queue: Queue, settings: Settings, guardian: Guardian, steady: Callable[[], datetime]) -> None:
    """What the worker does by itself, on a thread of its own."""
    kept = timedelta(days=settings.retention_days)
    for number in itertools.count():
        try:
            guardian.look()
            descendants.reap()
            recovery.ring_forgotten(queue, steady)
            moves.lapse(wall_clock(), steady())
            if number % FORGET_EVERY == 0:
                recovery.forget(wall_clock() - kept)
        except models.STORE_ERRORS as problem:
            # A full disk or a long lock passes; the next round finds the same rows.
            log.warning("The records cannot be looked after now (%s).", problem)
        except Exception:
            # As above: one bad round must not end all later ones.
            log.exception("A round of the sweep failed.")
        time.sleep(SWEEP_S)


if __name__ == "__main__":
    main()
