"""Which version of ai-webhook this is, and which protocol it speaks. No I/O."""

from __future__ import annotations

VERSION = "0.1.0"
PROTOCOL = 1
"""Of the frames in `relay.protocol`; both sides say it in `Hello` and `Welcome`."""


def discord(*, relay: object, machine: object) -> str | None:
    """Why a relay and a machine that say to speak these protocols cannot go on; None when they can.

    To be asked before anything else of a hello or a welcome: in another protocol its fields are others."""
    if relay == machine:
        return None
    seen = f"the relay speaks protocol {relay!r:.20} and the machine {machine!r:.20}"
    return f"{seen}; update both sides to the same version"
