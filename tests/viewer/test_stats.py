"""The five questions, counted by hand beside the page."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from relay.protocol import Fetched, Reason, Status
from tests.viewer.conftest import Clock
from tests.viewer.machine import Machine
from viewer.stats import PERIODS, Stats, count
from worker import models

OWN = {"Origin": "http://localhost"}


def counted(app: Flask, period: str = "30") -> Stats:
    return count(period, app.extensions["desk"].seen, app.extensions["desk"].now())


def test_nothing_to_count_says_so(client: FlaskClient, machine: Machine) -> None:
    assert "Nothing to count yet" in client.get("/stats").text
    assert "Once a task has ended" in client.get("/stats?days=all").text


def test_the_five_questions(app: Flask, client: FlaskClient, machine: Machine, clock: Clock) -> None:
    fast = machine.ended(["git", "status"], action_type="git", since=100)
    machine.ended(since=300)
    slow = machine.ended(since=800, returncode=1)
    machine.ended(status=Status.CANCELLED, since=200)
    machine.asked()
    clock.time += timedelta(minutes=10)
    for task, through in ((fast, "phone"), (slow, "laptop")):
        client.post(f"/t/{task.id}/viewed", data={"attempt": 1, "through": through}, headers=OWN)
    stats = counted(app)
    assert (stats.ran, stats.asked, stats.refused, stats.failed) == (4, 5, 0, 1)
    assert stats.succeeded == pytest.approx(2 / 3)
    assert [kind.name for kind in stats.kinds] == ["shell", "git"]
    assert stats.typical_s == pytest.approx(250, abs=15)
    assert stats.average_s == pytest.approx(350, abs=15)
    assert (stats.reached, stats.on_phone, stats.told) == (0.5, 0.5, 0)
    assert stats.reached_after_s == pytest.approx(600, abs=30)
    page = client.get("/stats").text
    assert re.search(r"<dt>Tasks executed</dt><dd><strong>4</strong><span>of 5 asked</span>", page)
    assert "66.7 %" in page
    assert re.search(r"usually (9|10) min", page)
    assert "2 done, 1 failed, 1 cancelled or not run" in page


def test_what_was_never_run_neither_counts_as_executed_nor_spoils_the_rate(
    app: Flask, client: FlaskClient, machine: Machine
) -> None:
    machine.ended()
    machine.ended(returncode=1)
    machine.asked(["git", "config", "-l"], action_type="git")
    machine.asked(action_type="gti")
    # Allowed when it was asked for, and not any more when its turn came.
    machine.ended(returncode=1, reason=Reason.REJECTED)
    machine.inbox.decline(machine.needs_ok().id)
    machine.inbox.cancel(machine.asked().id)
    stats = counted(app)
    assert (stats.asked, stats.ran, stats.refused, stats.unstarted) == (7, 2, 4, 1)
    assert (stats.failed, stats.succeeded) == (1, 0.5)
    assert [(kind.name, kind.tasks, kind.succeeded) for kind in stats.kinds] == [("shell", 2, 0.5)]
    page = client.get("/stats").text
    assert "<strong>2</strong><span>of 7 asked, 4 refused before running</span>" in page
    assert "<strong>50 %</strong><span>1 of those that ran failed</span>" in page
    assert "1 done, 1 failed, 5 cancelled or not run" in page
    assert "1 ended without being started" in page


def test_a_period_leaves_out_what_is_older(app: Flask, machine: Machine, clock: Clock) -> None:
    machine.ended()
    clock.time += timedelta(days=20)
    assert counted(app, "7").ran == 0
    assert counted(app, "30").ran == 1
    clock.time += timedelta(days=400)
    everything = counted(app, "all")
    assert everything.ran == 1
    # A long time is shown in a bounded number of bars, and nothing falls between them.
    assert len(everything.bars) <= 92
    assert sum(bar.total for bar in everything.bars) == 1


def test_run_again_and_approvals_are_told(app: Flask, client: FlaskClient, machine: Machine) -> None:
    task = machine.ended(returncode=1)
    machine.inbox.retry(task.id)
    machine.end(machine.start(machine.current(task.id)))
    yes, no = machine.needs_ok(), machine.needs_ok()
    assert yes.fingerprint
    machine.inbox.approve(yes.id, yes.fingerprint)
    machine.end(machine.start(machine.current(yes.id)))
    machine.inbox.decline(no.id)
    stats = counted(app)
    assert (stats.retried, stats.retried_well) == (1, 1)
    assert (stats.approvals, stats.approved) == (2, 1)
    assert "You approved 1 of 2 that asked you." in client.get("/stats").text


def test_git_is_told_apart_when_there_is_much_of_it(app: Flask, machine: Machine) -> None:
    for number in range(51):
        machine.ended(["git", "log" if number % 3 else "status"], action_type="git")
    assert [(kind.name, kind.tasks) for kind in counted(app).git] == [("git log", 34), ("git status", 17)]


def test_it_is_counted_once_until_something_changes(
    client: FlaskClient, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.ended()
    client.get("/stats")
    monkeypatch.setattr("viewer.tallies.ended", lambda since: pytest.fail("counted again"))
    assert client.get("/stats").status_code == 200
    monkeypatch.undo()
    machine.ended()
    assert "of 2 asked" in client.get("/stats").text


def test_a_view_is_counted_once_and_only_of_what_has_ended(
    app: Flask, client: FlaskClient, machine: Machine
) -> None:
    running = machine.started()
    for _ in range(2):
        client.post(f"/t/{running.id}/viewed", data={"attempt": 1, "through": "phone"}, headers=OWN)
    assert app.extensions["desk"].seen.latest() == 0
    machine.end(running)
    for through in ("phone", "laptop"):
        client.post(f"/t/{running.id}/viewed", data={"attempt": 1, "through": through}, headers=OWN)
    assert counted(app).on_phone == 1
    models.Task.delete().execute()
    assert counted(app).reached is None


def test_what_an_assistant_was_given_has_reached_its_owner(
    app: Flask, client: FlaskClient, machine: Machine, clock: Clock
) -> None:
    both, told, _ = (machine.ended() for _ in range(3))
    gone = machine.ended(returncode=1)
    machine.inbox.note_fetched([Fetched(task_id=one.id, attempt=1, ago_s=0) for one in (both, told, gone)])
    clock.time += timedelta(minutes=5)
    client.post(f"/t/{both.id}/viewed", data={"attempt": 1, "through": "phone"}, headers=OWN)
    # Again: only the first time counts. And an attempt that was replaced has no result any more.
    machine.inbox.note_fetched([Fetched(task_id=told.id, attempt=1, ago_s=0)])
    machine.inbox.retry(gone.id)
    stats = counted(app)
    assert (stats.reached, stats.told, stats.on_phone) == (pytest.approx(2 / 3), 1, 1)
    assert stats.reached_after_s == pytest.approx(0, abs=3)
    assert "fetched by whoever asked" in client.get("/stats").text
    assert client.get("/").text.count('class="badge"') == 2, "told is not opened: it stays new"


@pytest.mark.parametrize("days", ["0", "x", "31", "-1"])
def test_other_periods_are_a_400_that_lists_them(client: FlaskClient, days: str) -> None:
    answer = client.get(f"/stats?days={days}")
    assert answer.status_code == 400
    assert ", ".join(PERIODS) in answer.text
