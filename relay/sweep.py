"""What the relay does by itself: end what was not taken in time, and forget what is old."""

from __future__ import annotations

import asyncio
import logging

from relay import apps, endings, store
from relay.hub import Relay
from relay.writer import Unavailable

log = logging.getLogger(__name__)

PAUSE_S = 5.0
JUMP_S = 60.0
FORGET_EVERY = 720
"""In rounds of PAUSE_S: once an hour."""


async def sweep(relay: Relay) -> None:
    """Run until cancelled."""
    number = 0
    drift = relay.now() - relay.steady()
    while True:
        try:
            await _expire(relay)
            if number % FORGET_EVERY == 0:
                await _forget(relay)
        except Unavailable as problem:
            # A full disk passes; the next round finds the same rows.
            log.warning("%s.", problem)
        except Exception:
            # The edge of a loop that nobody else watches: one bad round must not end all later ones.
            log.exception("A round of the sweep failed")
        before, drift = drift, relay.now() - relay.steady()
        if abs(drift - before) > JUMP_S:
            log.warning("The clock was put %+.0f seconds; deadlines do not follow it.", drift - before)
        number += 1
        await asyncio.sleep(PAUSE_S)


async def _expire(relay: Relay) -> None:
    for task_id in await relay.writer.run(endings.expire, relay.steady(), relay.now()):
        log.info("Task %s expired: its machine did not take it in time.", task_id)
        relay.hub.tell(task_id)


async def _forget(relay: Relay) -> None:
    before = relay.steady() - relay.settings.relay_retention_days * store.DAY_S
    await relay.writer.run(apps.forget, relay.now())
    # In small batches: a long transaction would hold up every webhook that comes meanwhile.
    more = True
    while more:
        more = bool(await relay.writer.run(endings.forget, before))
