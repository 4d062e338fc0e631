"""Strips that tell the truth about the machine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from flask.testing import FlaskClient

from tests.viewer.conftest import Clock
from tests.viewer.machine import Machine
from viewer.strips import strips
from worker.inbox import Signs
from worker.recovery import hold_lock
from worker.signs import Link

NOW = datetime(2026, 11, 25, 14, 2, tzinfo=UTC)


def link(*, is_open: bool, ago: float = 60) -> Link:
    return Link("laptop", "0.1.0", is_open, NOW - timedelta(seconds=ago))


def test_while_all_is_well_nothing_is_said() -> None:
    assert strips(Signs(True, True, link(is_open=True)), 3, NOW) == []


def test_a_session_that_was_lost_a_moment_ago_is_no_news_yet() -> None:
    assert strips(Signs(True, True, link(is_open=False, ago=2)), 0, NOW) == []
    (strip,) = strips(Signs(True, True, link(is_open=False)), 0, NOW)
    assert (strip.text, strip.since) == ("Not connected to the relay", NOW - timedelta(seconds=60))


def test_a_missing_worker_comes_with_the_command_and_with_how_many_wait() -> None:
    (strip,) = strips(Signs(False, True, link(is_open=True)), 1, NOW)
    assert strip.text == "The worker is not running."
    assert (strip.command, strip.more) == ("make worker", "1 task waits here.")


def test_both_missing_is_one_sentence() -> None:
    (strip,) = strips(Signs(False, False, None), 3, NOW)
    assert strip.text == "The listener and the worker are not running."
    assert (strip.command, strip.more) == ("make -j listener worker", "3 tasks wait here.")


def test_a_policy_that_cannot_be_used_is_told_before_a_command_is_refused(
    client: FlaskClient, machine: Machine
) -> None:
    assert "policy.toml" not in client.get("/").text
    machine.policy.write_text("version = 1\nshel = 1\n")
    page = client.get("/").text
    assert "shel is not known here), so nothing is allowed until it is put right." in page


def test_pages_show_it_and_the_list_learns_when_it_changes(
    client: FlaskClient, machine: Machine, clock: Clock, tmp_path: Path
) -> None:
    machine.asked()
    page = client.get("/").text
    assert "The listener and the worker are not running." in page
    assert "Start again with <code>make -j listener worker</code>. 1 task waits here." in page
    version = client.get("/live").json["version"]
    lock = hold_lock(tmp_path / "tasks.lock")
    machine.inbox.tell_link("desk", "0.1.0", is_open=True)
    fresh = client.application.extensions["desk"]
    fresh._signs = None
    assert client.get(f"/live?version={version}").json["version"] != version
    page = client.get("/").text
    assert 'class="strip"' not in page
    assert "desk · connected" in page
    assert lock
