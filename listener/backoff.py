"""How long to wait before the next try to connect (pure)."""

from __future__ import annotations

from collections.abc import Callable

FIRST_S = 1.0
LONGEST_S = 15.0
HEALTHY_S = 60.0
"""A session must live so long before its end counts as a fresh start. A relay that accepts and
closes at once would be hammered otherwise."""


class Backoff:
    """Full-jitter exponential back-off, from FIRST_S to LONGEST_S seconds."""

    def __init__(self, random: Callable[[], float]) -> None:
        """*random* gives numbers from 0 to 1."""
        self._random = random
        self._ceiling = FIRST_S

    def reset(self) -> None:
        """Begin anew: the next pause is a short one."""
        self._ceiling = FIRST_S

    def pause(self, session_s: float) -> float:
        """Seconds to wait after a session (or a try) that lasted *session_s* seconds."""
        if session_s >= HEALTHY_S:
            self._ceiling = FIRST_S
        pause = self._ceiling * (0.2 + 0.8 * self._random())
        self._ceiling = min(LONGEST_S, self._ceiling * 2)
        return pause
