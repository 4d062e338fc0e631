"""Programs that read, talk in their own language, and want to be asked to end in their own way."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worker.environment import environment
from worker.manners import Manners
from worker.process import Completed, Ending, run

MARKER = f"manners-{os.getpid()}"


def sh(folder: Path, script: str, manners: Manners, **changes: Any) -> Completed:
    options: dict[str, Any] = {
        "cwd": folder, "env": environment(), "log": folder / "log", "marker": MARKER, "timeout": 20.0,
        "stop": lambda: False,
    }  # fmt: skip
    return run(["/bin/sh", "-c", script], manners=manners, **{**options, **changes})


def test_it_reads_what_it_is_given_and_then_the_end(tmp_path: Path) -> None:
    text = b"-n $HOME\n" + b"x" * 1_000_000
    # It prints first more than a pipe holds: nobody waits for the other.
    script = "head -c 200000 /dev/zero | tr '\\0' z; exec wc -c"
    done = sh(tmp_path, script, Manners(stdin=text))
    assert (done.returncode, done.stdout[-8:]) == (0, "1000009\n")
    assert sh(tmp_path, "cat", Manners(stdin=b"")).stdout == ""


def test_lines_are_translated_for_the_log_and_the_record_and_errors_are_not(tmp_path: Path) -> None:
    done = sh(tmp_path, "echo one; echo two >&2; echo; printf end", Manners(translate=lambda x: f"<{x}>"))
    assert (done.stdout, done.stderr) == ("<one><><end>", "two\n")
    assert sorted((tmp_path / "log").read_text().replace("\n", "")) == sorted("<one><><end>two")


def test_a_line_of_megabytes_stays_whole(tmp_path: Path) -> None:
    done = sh(
        tmp_path,
        "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo y",
        Manners(translate=lambda x: f"{len(x)} "),
    )
    assert (done.stdout, (tmp_path / "log").read_text()) == ("3000000 1 ", "3000000 1 ")


def test_what_is_translated_is_in_the_log_while_it_runs(tmp_path: Path) -> None:
    def stop() -> bool:
        return "ONE" in (tmp_path / "log").read_text()

    done = sh(tmp_path, "echo one; exec sleep 300", Manners(translate=str.upper), stop=stop)
    assert (done.ending, done.stdout) == (Ending.STOPPED, "ONE")


POLITE = (
    "import os, signal, sys, time\n"
    "heard = []\n"
    "def hear(number, _):\n"
    "    heard.append(number)\n"
    "    print(*heard, 'z' * 200_000, flush=True)\n"
    "    if number == int(sys.argv[1]): sys.exit(5)\n"
    "for one in (signal.SIGINT, signal.SIGTERM): signal.signal(one, hear)\n"
    "open('up', 'w').close()\n"
    "while True: time.sleep(0.01)\n"
)


def leave(folder: Path, at: int, farewell: tuple[tuple[signal.Signals, float], ...]) -> Completed:
    script = f'exec {sys.executable} -c "$0" {at}'
    return run(
        ["/bin/sh", "-c", script, POLITE], cwd=folder, env=environment(), log=folder / "log", marker=MARKER,
        timeout=20.0, stop=(folder / "up").exists, manners=Manners(farewell=farewell),
    )  # fmt: skip


def test_it_is_asked_to_end_in_its_own_way(tmp_path: Path, leftovers: Callable[[str], list[int]]) -> None:
    done = leave(tmp_path, signal.SIGINT, ((signal.SIGINT, 20.0), (signal.SIGTERM, 20.0)))
    # Its last words are longer than a pipe: somebody reads them, or it would never end.
    assert (done.ending, done.returncode, done.stdout[:3], len(done.stdout) > 90_000) == (
        Ending.STOPPED, 5, "2 z", True,
    )  # fmt: skip
    assert done.seconds < 10
    assert leftovers(MARKER) == []


def test_whoever_does_not_obey_one_signal_gets_the_next(tmp_path: Path) -> None:
    done = leave(tmp_path, signal.SIGTERM, ((signal.SIGINT, 0.2), (signal.SIGTERM, 20.0)))
    log = (tmp_path / "log").read_text()
    assert (done.returncode, log.startswith("2 z"), "\n2 15 z" in log) == (5, True, True)
    (tmp_path / "up").unlink()
    done = leave(tmp_path, 0, ((signal.SIGINT, 0.2), (signal.SIGTERM, 0.2)))
    assert done.returncode == -signal.SIGKILL
