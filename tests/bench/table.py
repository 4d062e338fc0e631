"""One line per measurement, and the table that `make bench` prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measurement.

    *bar* is the most that is allowed (the least, when *at_least*); None when there is no bar. With
    a *limit*, the same work done without any of us in the same run, *bar* is a multiple of it."""

    what: str
    value: float
    unit: str
    bar: float | None = None
    at_least: bool = False
    limit: float | None = None

    @property
    def ratio(self) -> float | None:
        """To the limit where there is one, else to the bar; None without either."""
        reference = self.limit if self.limit is not None else self.bar
        return self.value / reference if reference else None

    @property
    def is_met(self) -> bool | None:
        """None when there is no bar."""
        if self.bar is None:
            return None
        seen = self.value if self.limit is None else self.value / self.limit
        return seen >= self.bar if self.at_least else seen <= self.bar

    def cells(self) -> Sequence[str]:
        verdict = {True: "met", False: "NOT met", None: ""}[self.is_met]
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return self.what, f"{_number(self.value)} {self.unit}".strip(), self._bar(), ratio, verdict

    def _bar(self) -> str:
        if self.bar is None:
            return "" if self.limit is None else f"limit {_number(self.limit)}"
        sign = "≥" if self.at_least else "≤"
        if self.limit is None:
            return f"{sign} {_number(self.bar)}"
        return f"{sign} {self.bar:g} x {_number(self.limit)}"


HEAD = ("what", "measured", "bar", "ratio", "")
FOOT = (
    "ratio: to the limit, which is the same work without relay, listener and queue, where the bar is a "
    "multiple of it; else to the bar"
)


def table(rows: Iterable[Row]) -> str:
    """The rows in columns, numbers to the right."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    texts = [
        "  ".join(
            cell.rjust(width) if 0 < column < 4 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([texts[0], "-" * max(map(len, texts)), *texts[1:], "", FOOT])


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that *share* of all do not exceed. Raises IndexError when there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _number(value: float) -> str:
    if abs(value) >= 1_000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"
