"""The guardian: a small process that outlives the worker by a moment, and ends what its programs left.

The worker starts one and holds the other end of the pipe that is its standard input. However the
worker ends, the kernel closes that pipe at once. `worker.process.Guardian` starts it."""

from __future__ import annotations

import os

from worker.marks import sweep, take_off

PATIENCE_S = 30.0


def watch(marker: str) -> None:
    """Wait for the end of standard input, then end every process with *marker*."""
    take_off()  # A new worker that sweeps for earlier ones shall not find us.
    while os.read(0, 1):
        pass
    sweep(marker, PATIENCE_S)
