"""`python -m tests.bench [SECTION …]`: measure, and print one table.

Exits 0 also when a bar is missed, because absolute figures depend on the machine and on what else it
does; exits 1 when a measurement itself fails."""

from __future__ import annotations

import importlib
import os
import platform
import sys
import time
import traceback

from tests.bench.proc import Neighbours
from tests.bench.table import Row, table
from tests.conftest import OWN

SECTIONS = ("relay", "worker", "chain", "backlog", "viewer")


def main() -> None:
    asked = [word for argument in sys.argv[1:] for word in argument.replace(",", " ").split()] or SECTIONS
    if unknown := set(asked) - set(SECTIONS):
        sys.exit(f"There is no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    if sys.platform != "linux":
        sys.exit("Processor time and memory are read from /proc, so this needs Linux")
    for name in OWN:
        os.environ.pop(name, None)
    print(_machine(), file=sys.stderr)
    begun, neighbours = time.monotonic(), Neighbours()
    rows: list[Row] = []
    broken = [section for section in asked if not _measure(section, rows)]
    print(table(rows))
    taken = time.monotonic() - begun
    print(f"{_machine()}; took {taken:.0f} s; others kept {neighbours.cores():.1f} cores busy meanwhile")
    if broken:
        sys.exit(f"Could not be measured: {', '.join(broken)}")


def _measure(section: str, rows: list[Row]) -> bool:
    """Add the rows of *section*; False, with its traceback on the screen, when it breaks."""
    print(f"Measuring: {section} ...", file=sys.stderr)
    try:
        for row in importlib.import_module(f"tests.bench.{section}").measure():
            rows.append(row)
    except Exception:  # noqa: BLE001
        # The edge of the program: one section that breaks must not take the others' figures along.
        traceback.print_exc()
        return False
    return True


def _machine() -> str:
    cores, (load, *_) = os.cpu_count(), os.getloadavg()
    return f"{cores} cores, {platform.system()}, Python {platform.python_version()}, load {load:.1f}"


if __name__ == "__main__":
    main()
