"""How often somebody may knock: token buckets by name (pure but for the clock that is passed in)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

MINUTE_S = 60.0


class Buckets:
    """One bucket per name, each refilled with *per_minute* tokens a minute and holding as many.

    At most *most* names are remembered; the one that was quiet longest is forgotten first, which
    is in its favour."""

    def __init__(self, per_minute: int, clock: Callable[[], float], most: int = 10_000) -> None:
        """*per_minute* 0 means no limit; *clock* gives seconds and never goes back."""
        self._per_minute = per_minute
        self._clock = clock
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> float:
        """Take one token. 0 when there was one, else the seconds until there is."""
        if not self._per_minute:
            return 0.0
        rate = self._per_minute / MINUTE_S
        now = self._clock()
        tokens, at = self._buckets.pop(name, (float(self._per_minute), now))
        tokens = min(float(self._per_minute), tokens + (now - at) * rate)
        missing = max(0.0, 1.0 - tokens)
        self._buckets[name] = (tokens if missing else tokens - 1.0, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return missing / rate
