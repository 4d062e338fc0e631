"""What was meant as a command and would be kept as an event, while its caller waits for a result (pure)."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

from relay.protocol import COMMAND

CLOSE = 0.85
"""From here on a type was meant to be COMMAND: a letter is missing, a hyphen stands for the underscore."""
RIGHT = (
    f'{{"type": "{COMMAND}", "data": {{"action_type": "git", "params": {{"command": ["git", "status"]}}}}}}'
)


def refusal(event: str, payload: dict[str, Any]) -> str | None:
    """A sentence with the right form when *payload* looks like a command but is an *event*, else None."""
    data = payload.get("data")
    if "action_type" in payload:
        seen = "action_type stands outside of data"
    elif event == COMMAND:
        return None
    elif SequenceMatcher(None, event.lower(), COMMAND).ratio() >= CLOSE:
        seen = f"the type is {event!r}"
    elif isinstance(data, dict) and "action_type" in data:
        seen = f"the type is {event!r}" if "type" in payload else "the type is missing"
    else:
        return None
    return f"This looks like a command, but {seen}; write {RIGHT}"
