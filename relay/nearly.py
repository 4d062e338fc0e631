"""What was meant as a command and would be kept as an event, while its caller waits for a result (pure)."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

from relay.protocol import COMMAND

_OURS = ("git", "shell", "claude_code")
CLOSE = 0.85
"""From here on a type was meant to be COMMAND: a letter is missing, a hyphen stands for the underscore."""
RIGHT = (
    f'{{"type": "{COMMAND}", "data": {{"action_type": "git", "params": {{"command": ["git", "status"]}}}}}}'
)


def refusal(event: str, payload: dict[str, Any]) -> str | None:
    """A sentence with the right form when *payload* looks like a command but is an *event*, else None."""
    data, is_close = payload.get("data"), SequenceMatcher(None, event.lower(), COMMAND).ratio() >= CLOSE
    # Other people's events have an action_type as well, of their own kind.
    is_other = "type" in payload and not is_close
    if _is_command(payload, strictly=is_other):
        seen = "action_type stands outside of data"
    elif event == COMMAND:
        return None
    elif is_close:
        seen = f"the type is {event!r}"
    elif _is_command(data, strictly=is_other):
        seen = f"the type is {event!r}" if "type" in payload else "the type is missing"
    else:
        return None
    return f"This looks like a command, but {seen}; write {RIGHT}"


def _is_command(part: object, *, strictly: bool) -> bool:
    if not isinstance(part, dict) or "action_type" not in part:
        return False
    return not strictly or part["action_type"] in _OURS or isinstance(part.get("params"), dict)
