"""How whatever a program started is found again."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chain import end, wait_until
from worker import marks

MARKER = f"test-marks-{os.getpid()}"
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the tag is on Linux only")
PART = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="-"), min_size=1)


@given(st.lists(PART, min_size=1, max_size=3), st.integers(1, 3))
def test_the_tag_of_a_beginning_is_the_beginning_of_the_tag(parts: list[str], count: int) -> None:
    def marker(count: int) -> str:
        return ":".join([".".join(parts[:count][:2]), *parts[:count][2:]])

    whole, _ = marks._tag(marker(3))
    value, mask = marks._tag(marker(count))
    assert whole & mask == value
    assert whole < 2**62, "more would look like no limit"


@given(st.lists(PART, min_size=3, max_size=3, unique=True))
def test_tags_of_different_runs_differ(parts: list[str]) -> None:
    one, other, last = parts
    (value, mask), (second, _) = marks._tag(f"{one}.{one}:{other}"), marks._tag(f"{one}.{one}:{last}")
    assert (second & mask == value) == (marks._crc(other, 22) == marks._crc(last, 22))


def test_a_worker_inside_a_program_of_another_keeps_both_markers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(marks.MARKER, raising=False)
    assert marks.variable("in.ner:1") == "in.ner:1"
    monkeypatch.setenv(marks.MARKER, "out.er:1")
    assert marks.variable("in.ner:1") == "out.er:1 in.ner:1"
    with sleeper({marks.MARKER: marks.variable(f"{MARKER}.in:1")}) as child:
        wait_until(lambda: marks.carries(child.pid, "out.er"), "it is found by the outer")
        assert marks.carries(child.pid, f"{MARKER}.in")
        assert not marks.carries(child.pid, "er")


@contextmanager
def sleeper(env: dict[str, str] | None = None, *before: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that sleeps, and is there to be looked at: its environment is, a moment after its start."""
    child = subprocess.Popen([*before, "sleep", "300"], env=env)
    try:
        wait_until(lambda: b"sleep\x00300" in Path(f"/proc/{child.pid}/cmdline").read_bytes(), "it sleeps")
        yield child
    finally:
        end(child)


@pytest.fixture
def tagged() -> Iterator[None]:
    """This process carries the tag of a life, as a worker does."""
    marks.put_on(0, f"{MARKER}.a")
    yield
    marks.take_off()
    soft, hard = resource.getrlimit(marks._RLIMIT_LOCKS)
    assert soft == hard


@pytest.fixture
def wiped(tagged: None) -> Iterator[subprocess.Popen[bytes]]:
    """A process without the variable, in a session of its own."""
    with sleeper(None, "env", "-i", "setsid") as child:
        wait_until(lambda: b"setsid" not in Path(f"/proc/{child.pid}/cmdline").read_bytes(), "it is itself")
        yield child
    assert marks.marked(MARKER) == []


@on_linux
def test_the_tag_is_inherited_when_the_environment_is_wiped(wiped: subprocess.Popen[bytes]) -> None:
    assert marks.marked(f"{MARKER}.a") == marks.marked(MARKER) == [wiped.pid], "and not this process itself"
    assert marks.marked(f"{MARKER}.b") == marks.marked(f"{MARKER}.a:2") == []
    assert marks.is_of_no_run(wiped.pid)
    marks.put_on(wiped.pid, f"{MARKER}.a:2")
    assert marks.marked(f"{MARKER}.a:2") == marks.marked(f"{MARKER}.a") == [wiped.pid]
    assert marks.marked(f"{MARKER}.a:1") == []
    assert not marks.is_of_no_run(wiped.pid)


@on_linux
def test_who_has_the_variable_or_no_tag_is_not_of_no_run(tagged: None) -> None:
    with sleeper({marks.MARKER: f"{MARKER}.a:1"}) as child:
        assert marks.carries(child.pid, f"{MARKER}.a:1")
        assert not marks.is_of_no_run(child.pid)
    marks.take_off()
    with sleeper({}) as child:
        assert not marks.is_of_no_run(child.pid)
    with pytest.raises(ProcessLookupError):
        marks.is_of_no_run(child.pid)


@on_linux
def test_where_a_limit_cannot_carry_the_tag_the_environment_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(resource, "prlimit", refuse)
    with sleeper({marks.MARKER: f"{MARKER}.a:1"}) as child:
        marks.put_on(child.pid, f"{MARKER}.a:1")
        assert marks.marked(MARKER) == [child.pid]
        assert not marks.is_of_no_run(child.pid)


def test_a_sweep_ends_what_carries_the_marker_and_nothing_else(tmp_path: Path) -> None:
    def start(marker: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sleep", "300"], env={marks.MARKER: marker}, start_new_session=True)

    mine, others = (
        [start(f"{MARKER}-a:1"), start(f"{MARKER}-a:2")],
        [start(f"{MARKER}-b:1"), start(f"x{MARKER}-a:1")],
    )
    try:
        wait_until(lambda: len(marks.marked(f"{MARKER}-")) == 3, "all have started")
        assert marks.sweep(f"{MARKER}-a:") == 2
        assert [one.wait(5) for one in mine] == [-signal.SIGKILL] * 2
        assert [one.poll() for one in others] == [None, None]
        assert marks.sweep(f"{MARKER}-a:") == 0
    finally:
        for one in (*mine, *others):
            one.kill()
            one.wait()


def test_a_sweep_catches_a_process_that_forks_while_it_looks(tmp_path: Path) -> None:
    script = "import os, time\nend = time.time() + 20\nwhile time.time() < end:\n"
    script += "    time.sleep(0.01)\n    if os.fork(): os._exit(0)"
    hopper = subprocess.Popen(
        [sys.executable, "-c", script], env={marks.MARKER: f"{MARKER}-hop"}, start_new_session=True
    )
    try:
        wait_until(lambda: marks.marked(f"{MARKER}-hop"), "it hops")
        wait_until(lambda: marks.sweep(f"{MARKER}-hop") or not marks.marked(f"{MARKER}-hop"), "caught")
        wait_until(lambda: not marks.marked(f"{MARKER}-hop"), "all of it is gone", 5)
    finally:
        hopper.wait(25)
