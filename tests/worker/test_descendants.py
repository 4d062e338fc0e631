"""No survivors: programs that do not want to die, ended by a real process that adopts orphans."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chain import end, is_alive, wait_until
from tests.worker.family import FAMILIES, begin_host, is_up, program, survivors
from worker import marks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only")

MARKER = f"family{os.getpid()}.life"
Host = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    begun: list[subprocess.Popen[str]] = []

    def _host(code: str, marker: str = MARKER) -> subprocess.Popen[str]:
        begun.append(begin_host(tmp_path, marker, code))
        return begun[-1]

    yield _host
    for one in begun:
        end(one)
        assert one.stdin is not None
        assert one.stdout is not None
        one.stdin.close()
        one.stdout.close()
    for pid in survivors(tmp_path):
        os.kill(pid, signal.SIGKILL)


def answer(host: subprocess.Popen[str]) -> Any:
    said, _ = host.communicate(timeout=20)
    assert host.returncode == 0
    return json.loads(said)


def pids_in(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()]


@pytest.mark.parametrize("family", FAMILIES)
def test_nobody_is_left_of_a_program_that_ended_by_itself(tmp_path: Path, host: Host, family: str) -> None:
    argv = program(family, "leaves", tmp_path)
    done = answer(
        host(f"done = run({argv!r})\nprint(json.dumps([done.ending.value, done.returncode, done.seconds]))")
    )
    assert survivors(tmp_path) == []
    assert is_up(family, tmp_path)
    assert done[:2] == ["exited", 0]
    assert done[2] < 4


def test_whoever_puts_another_limit_in_place_of_the_tag_ends_as_well(tmp_path: Path, host: Host) -> None:
    script = "prlimit --pid $$ --locks=unlimited:unlimited && echo so > bare;"
    script += f" env -i /usr/bin/setsid /bin/sh -c 'sleep 30; : {tmp_path}' > /dev/null 2>&1 &"
    done = answer(host(f"done = run(['/bin/sh', '-c', {script!r}])\nprint(json.dumps(done.returncode))"))
    assert done == 0
    assert (tmp_path / "bare").exists()
    assert survivors(tmp_path) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_nobody_is_left_of_a_program_that_is_stopped(tmp_path: Path, host: Host, family: str) -> None:
    argv = program(family, "stays", tmp_path)
    code = f"""
from tests.worker.family import is_up
done = run({argv!r}, stop=lambda: is_up({family!r}, folder))
print(json.dumps([done.ending.value, done.returncode, done.seconds]))
"""
    done = answer(host(code))
    assert survivors(tmp_path) == []
    assert done[:2] == ["stopped", -signal.SIGTERM]
    assert done[2] < 4


@pytest.mark.parametrize("family", FAMILIES)
def test_nobody_is_left_of_a_worker_that_is_killed(tmp_path: Path, host: Host, family: str) -> None:
    worker = host(GUARDED + f"run({program(family, 'stays', tmp_path)!r})")
    wait_until(lambda: is_up(family, tmp_path), "the whole family is up")
    guardian = guardian_of(worker)
    # The whole group, as honcho does: the guardian must not be in it.
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait(10)
    wait_until(lambda: not survivors(tmp_path), "everybody is gone", 3)
    wait_until(lambda: not is_alive(guardian), "and the guardian too", 3)


GUARDED = """
guardian = process.Guardian(marker)
print(guardian._child.pid, flush=True)
"""


def guardian_of(host: subprocess.Popen[str]) -> int:
    assert host.stdout is not None
    return int(host.stdout.readline())


def test_the_guardian_of_a_worker_that_ends_normally_goes_with_it(host: Host) -> None:
    worker = host(GUARDED)
    guardian = guardian_of(worker)
    assert worker.wait(10) == 0
    wait_until(lambda: not is_alive(guardian), "the guardian is gone", 3)


def test_a_guardian_leaves_the_next_workers_programs_alone(tmp_path: Path, host: Host) -> None:
    name = MARKER.partition(".")[0]
    old = host(GUARDED + f"run(['sh', '-c', 'echo up >> old; sleep 30; : {tmp_path}'])")
    new = host(f"run(['sh', '-c', 'echo up >> new; sleep 30; : {tmp_path}'])", f"{name}.next")
    wait_until(lambda: (tmp_path / "old").exists() and (tmp_path / "new").exists(), "both run")
    guardian = guardian_of(old)
    end(old)
    wait_until(lambda: not is_alive(guardian), "the guardian has done its work", 5)
    assert marks.marked(f"{name}.life") == []
    assert len(survivors(tmp_path, new.pid)) == 1
    assert new.poll() is None
    assert marks.marked(name) == marks.marked(f"{name}.next") != [], "what all workers have in common"


def test_a_guardian_that_dies_is_replaced(host: Host) -> None:
    code = """
os.kill(guardian._child.pid, 9)
first = guardian._child.pid
while guardian._child.pid == first: guardian.look()
print(guardian._child.pid, flush=True)
sys.stdin.read()
"""
    worker = host(GUARDED + code)
    first, second = guardian_of(worker), guardian_of(worker)
    assert not is_alive(first)
    assert is_alive(second)
    end(worker)
    wait_until(lambda: not is_alive(second), "it has noticed", 3)


def test_the_guardian_is_small_and_holds_no_key(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_SECRET", "fake-secret")
    worker = host(GUARDED + "sys.stdin.read()")
    folder = Path(f"/proc/{guardian_of(worker)}")
    wait_until(lambda: b"guardian" in (folder / "cmdline").read_bytes(), "it is there")
    assert b"fake-secret" in Path(f"/proc/{worker.pid}/environ").read_bytes()
    assert (folder / "environ").read_bytes() == b""
    (size,) = [
        int(line.split()[1]) for line in (folder / "status").read_text().splitlines() if "VmRSS" in line
    ]
    assert size < 20_000, "kilobytes; most of them shared with the other processes"


def test_a_program_that_ends_does_not_take_another_ones_orphans_with_it(tmp_path: Path, host: Host) -> None:
    daemon = "setsid sh -c 'echo $$ > up; sleep 30; : {}' >/dev/null 2>&1 </dev/null & "
    wait = "while [ ! -e {} ]; do sleep 0.02; done"
    first = ["/bin/sh", "-c", daemon.format(tmp_path) + wait.format("go")]
    second = [
        "/bin/sh",
        "-c",
        "(" + wait.format("never") + f"; : {tmp_path}) & while [ ! -s up ]; do sleep 0.02; done",
    ]
    code = f"""
other = threading.Thread(target=run, args=({first!r}, 1))
other.start()
run({second!r}, 2)
(folder / "second").touch()
other.join()
(folder / "first").touch()
"""
    host(code)
    wait_until((tmp_path / "second").exists, "the second has ended")
    (daemon_pid,) = pids_in(tmp_path / "up")
    assert is_alive(daemon_pid)
    assert not (tmp_path / "first").exists()
    (tmp_path / "go").touch()
    wait_until((tmp_path / "first").exists, "the first has ended")
    assert not is_alive(daemon_pid)


def test_every_exit_status_reaches_its_own_program_however_many_orphans_die_beside_it(
    tmp_path: Path, host: Host
) -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
def one(number):
    script = f"(setsid sleep 0.0{number % 5} >/dev/null 2>&1 &) ; (setsid true &) ; exit {number}"
    return run(["/bin/sh", "-c", script], number).returncode
with ThreadPoolExecutor(6) as pool:
    statuses = list(pool.map(one, range(24)))
print(json.dumps([statuses, marks.read(f"/proc/self/task/{os.getpid()}/children").decode()]))
"""
    statuses, children = answer(host(code))
    assert statuses == list(range(24))
    assert children == "", "no zombie either"


def test_orphans_that_die_while_their_program_goes_on_are_reaped(tmp_path: Path, host: Host) -> None:
    script = "for n in 1 2 3 4 5; do (true & ); done; touch up; while [ ! -e go ]; do sleep 0.02; done"
    code = f"""
import time
program = threading.Thread(target=run, args=(["/bin/sh", "-c", {script!r}],))
program.start()
def children(): return marks.read(f"/proc/self/task/{{os.getpid()}}/children").split()
while not (folder / "up").exists() or len(children()) < 5: time.sleep(0.01)
time.sleep(0.05)
before = len(children())
descendants.reap()
after = len(children())
(folder / "go").touch()
program.join()
print(json.dumps([before, after]))
"""
    before, after = answer(host(code))
    assert before >= 5
    assert after <= 1, "the program itself belongs to the list of another thread"


def test_a_program_that_leaves_nobody_costs_no_search(tmp_path: Path, host: Host) -> None:
    code = """
def search(*_): raise AssertionError("searched")
marks._look = search
print(json.dumps(run(["/bin/sh", "-c", "echo hi; true | cat"]).stdout))
"""
    assert answer(host(code)) == "hi\n"


def test_a_program_that_listens_gets_one_sigterm_and_so_does_each_descendant(
    tmp_path: Path, host: Host
) -> None:
    (tmp_path / "listen").write_text(
        "trap 'echo term >> $1' TERM; echo >> up\nfor n in 1 2 3 4 5 6 7 8 9 10; do sleep 0.05; done\n"
    )
    argv = ["/bin/sh", "-c", "setsid sh listen far & sh listen near & . ./listen here", "sh", "here"]
    code = f"""
process.GRACE_S = 5.0
up = folder / "up"
run({argv!r}, stop=lambda: up.exists() and len(up.read_text()) == 3)
"""
    assert host(code).wait(20) == 0
    assert [(tmp_path / name).read_text() for name in ("here", "near", "far")] == ["term\n"] * 3
