"""Programs that do not want to die, a process that runs them like a worker, and evidence of who is left.

Who is left is found by the command line, which holds the test's folder, and by nothing that the
worker itself relies on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.chain import ROOT, is_alive

_PRELUDE = """
import os, signal, sys, time
folder, end = sys.argv[1], time.monotonic() + 30
def up():
    with open(f"{folder}/up", "a") as file: file.write(f"{os.getpid()}\\n")
def sleep():
    while time.monotonic() < end: time.sleep(0.5)
def settle():
    signal.signal(signal.SIGTERM, signal.SIG_IGN); os.closerange(0, 3); up(); sleep()
def wait_for(size):
    while not os.path.exists(f"{folder}/up") or len(open(f"{folder}/up").readlines()) < size: time.sleep(0.01)
def fork(work):
    if os.fork() == 0:
        work(); os._exit(0)
"""

FAMILIES = {
    "a deaf grandchild in a session of its own": "fork(lambda: (os.setsid(), settle()))",
    "a daemon made by forking twice": "fork(lambda: (os.setsid(), fork(settle)))",
    "a daemon with a wiped environment": """
argv = [sys.executable, "-c", PRELUDE + "settle()", folder]
fork(lambda: (os.setsid(), os.execve(argv[0], argv, {})))
""",
    "a child that holds the pipe": "fork(lambda: (up(), sleep()))",
    "two hundred deaf children": "for _ in range(200): fork(lambda: (os.setsid(), settle()))",
    "a process that replaces itself all the time": """
def hop():
    os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN); os.closerange(0, 3); up()
    while time.monotonic() < end:
        time.sleep(0.002)
        if os.fork(): os._exit(0)
fork(hop)
""",
}
"""What a program starts, by name."""

HOST = """
import json, os, sys, threading
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from worker import descendants, marks, process
from worker.environment import environment
folder, marker = Path(sys.argv[2]), sys.argv[3]
process.GRACE_S = process.DRAIN_S = 0.3
descendants.adopt(marker)
def run(argv, number=1, stop=lambda: False, timeout=20.0):
    return process.run(argv, cwd=folder, env=environment(), log=folder / f"log{number}",
                       marker=f"{marker}:{number}-1", timeout=timeout, stop=stop)
"""
"""The beginning of a process that runs programs as the worker does."""


def size_of(family: str) -> int:
    """How many processes it is when all are up."""
    return 200 if "two hundred" in family else 1


def program(family: str, end: str, folder: Path) -> list[str]:
    """The family's first process, which "stays" or "leaves" when the others are up."""
    script = f"PRELUDE = {_PRELUDE!r}\nexec(PRELUDE)\n{FAMILIES[family]}\n"
    script += "sleep()" if end == "stays" else f"wait_for({size_of(family)})"
    return [sys.executable, "-c", script, str(folder)]


def is_up(family: str, folder: Path) -> bool:
    path = folder / "up"
    return path.exists() and len(path.read_text().splitlines()) >= size_of(family)


def begin_host(folder: Path, marker: str, code: str) -> subprocess.Popen[str]:
    """A process like the worker that runs *code* after HOST, in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", HOST + code, str(ROOT), str(folder), marker],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def survivors(folder: Path, *known: int) -> list[int]:
    """Who lives and has *folder* in the command line, but for the *known* ones."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        pid = int(entry.name)
        if os.fsencode(folder) in line and pid not in known and is_alive(pid):
            found.append(pid)
    return found
