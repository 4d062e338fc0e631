"""`python -m worker`: run what waits, until told to stop."""

from __future__ import annotations

import logging
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from relay.protocol import explain
from worker import models, recovery
from worker.policy import PolicyFile
from worker.reporter import Reporter
from worker.runner import Runner
from worker.settings import Settings
from worker.tasks import Queue

SWEEP_S = 5.0
INTERRUPT_S = 2.5
LOOK = "Look at .env and docs/CONFIGURATION.md"


def main() -> None:
    """Work, or say in one sentence why not."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        settings = Settings.read()
        models.open_database(settings.sqlite_path)
        lock = recovery.hold_lock(settings.lock_path)
    except ValidationError as problem:
        sys.exit(f"The worker cannot start: {explain(problem)}. {LOOK}")
    except (OSError, ValueError, models.CannotOpen, recovery.AlreadyRunning) as problem:
        sys.exit(f"The worker cannot start: {problem}. {LOOK}")
    work(settings)
    # Kept until the very end: while programs are being ended, nobody else may begin.
    assert lock


def work(settings: Settings) -> None:
    """Recover, then answer the bell until SIGTERM or SIGINT."""
    queue = Queue(Path(settings.queue_url))
    marker = recovery.marker_of(settings.sqlite_path)
    reporter = Reporter(settings)
    runner = Runner(PolicyFile(settings.policy_path), reporter, marker)
    recovery.recover(queue, marker, _now())
    reporter.start()
    threading.Thread(target=_ring_forgotten, args=(queue,), name="sweeper", daemon=True).start()
    logging.getLogger("worker").info("The worker runs up to %d tasks at a time.", settings.workers)
    queue.consume(runner.run, settings.workers)
    runner.stop(INTERRUPT_S)
    reporter.stop(1)


def _ring_forgotten(queue: Queue) -> None:
    pause = threading.Event()
    while not pause.wait(SWEEP_S):
        recovery.ring_forgotten(queue, _now)


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    main()
