"""Who runs on this machine, told by locks that vanish with their holder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chain import end, wait_until
from tests.viewer.machine import Machine
from worker import models, recovery, signs
from worker.inbox import CannotOpen, open_inbox
from worker.settings import Settings


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.close()


def test_without_listener_and_worker_nobody_is_there(machine: Machine) -> None:
    assert machine.inbox.signs() == signs.Signs(worker_runs=False, listener_runs=False, link=None)


def test_a_worker_is_seen_by_its_lock(machine: Machine, tmp_path: Path) -> None:
    lock = recovery.hold_lock(tmp_path / "tasks.lock")
    assert lock
    assert machine.inbox.signs().worker_runs


def test_the_last_word_of_a_listener_stays_but_not_that_it_runs(
    machine: Machine, tmp_path: Path, root: Path
) -> None:
    code = (
        "import os, sys, time; from tests.viewer.machine import Machine; from pathlib import Path\n"
        "inbox = Machine(Path(sys.argv[1])).inbox; inbox.tell_link('a-long-name', '0.1.0', is_open=False)\n"
        "inbox.tell_link('desk', '0.1.0', is_open=True); time.sleep(300)"
    )
    listener = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=root)
    try:
        found = wait_until(
            lambda: (now := machine.inbox.signs()).link and now.link.is_open and now,
            "the listener has a session",
        )
        assert found.listener_runs
        assert (found.link.machine, found.link.version) == ("desk", "0.1.0")
    finally:
        listener.kill()
        end(listener)
    after = machine.inbox.signs()
    assert (after.listener_runs, after.link) == (False, found.link)


def test_a_second_listener_on_these_records_is_refused(machine: Machine) -> None:
    machine.inbox.tell_link("desk", "0.1.0", is_open=True)
    second = open_inbox(Settings.read(machine.environment))
    with pytest.raises(CannotOpen, match=r"Another listener is running .* stop that one first"):
        second.tell_link("desk", "0.1.0", is_open=False)
    assert machine.inbox.signs().link.is_open


@pytest.mark.parametrize("text", ["", "{", "[]", '{"machine": "x"}', '{"since": 7}'])
def test_a_damaged_word_is_no_word(machine: Machine, text: str) -> None:
    Path(models.database.database).with_suffix(".link").write_text(text)
    assert machine.inbox.signs().link is None
