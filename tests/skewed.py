"""`python skewed.py FILE MODULE`: run MODULE with a wall clock that is off by the seconds in FILE.

Only the time of day is moved, as when somebody sets it; clocks that never jump are left alone.
(libfaketime also moves the deadlines of sleeps, so that Python's sleep fails or never ends.)
"""

from __future__ import annotations

import runpy
import sys
import time
from pathlib import Path

clock, module = Path(sys.argv[1]), sys.argv[2]
real = time.time
time.time = lambda: real() + float(clock.read_text() or 0)
sys.argv = [module]
runpy.run_module(module, run_name="__main__", alter_sys=True)
