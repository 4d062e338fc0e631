"""Search: words in title, command and what was said, in an index that follows the records."""

from __future__ import annotations

import re
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as searching
from hypothesis import strategies as st

from tests.viewer.machine import Machine
from tests.viewer.test_tasks_page import titles
from viewer import records
from viewer.app import create_app
from viewer.desk import Desk
from viewer.devices import Devices
from viewer.filters import Filter
from viewer.own import OwnFile
from viewer.settings import Settings
from worker import clock, models, recovery


def found(client: FlaskClient, words: str, **more: str) -> list[str]:
    return titles(client.get("/", query_string={"q": words, **more}).text)


def test_title_command_error_answer_and_output_are_searched(client: FlaskClient, machine: Machine) -> None:
    machine.ended("make bench", title="Measure the queue")
    machine.ended(title="two", returncode=1, error="There is no program 'zebra'")
    machine.ended(title="three", output_data={"answer": "The **timezone** was wrong"})
    machine.ended(
        title="four", output_data={"stdout": "x" * 5000 + "\n\x1b[31mmodified: app/clock.py\x1b[0m"}
    )
    assert found(client, "queue") == found(client, "bench") == ["Measure the queue"]
    assert found(client, "zeb") == ["two"]
    assert found(client, "TIMEZONE wrong") == ["three"]
    assert found(client, "modified app/clock.py") == ["four"]
    assert found(client, "queue zebra") == []


def test_newest_first_within_state_and_action_and_page_by_page(client: FlaskClient, machine: Machine) -> None:
    for number in range(35):
        machine.ended(title=f"number {number}", returncode=number % 2)
    machine.asked(["git", "status"], action_type="git", title="number git")
    assert found(client, "number")[:2] == ["number git", "number 34"]
    assert found(client, "number", status="failed")[:2] == ["number 33", "number 31"]
    assert found(client, "number", action="git") == ["number git"]
    page = client.get("/?q=number").text
    assert "Show earlier tasks" in page
    assert 'href="/?status=failed&amp;q=number"' in page
    assert 'value="number"' in page


def test_a_search_sees_what_changed_a_moment_ago(client: FlaskClient, machine: Machine) -> None:
    task = machine.started(title="fresh")
    assert found(client, "fresh", status="running") == ["fresh"]
    machine.end(task, headline="Blue and green")
    assert found(client, "fresh", status="running") == []
    assert found(client, "blue", status="completed") == ["fresh"]


def test_what_matches_nothing_is_said_in_the_words_of_the_question(
    client: FlaskClient, machine: Machine
) -> None:
    machine.ended(returncode=1)
    page = client.get("/?q=zebra&status=failed&action=shell").text
    assert "No task matches “zebra” with status “Failed” and action “shell”." in page
    assert "<title>“zebra” \N{EN DASH} Failed tasks" in page


@pytest.mark.parametrize(
    "words",
    [
        *('"', "*", "AND", "a OR", "NEAR(x)", "title:x", "-x", "^x", "((", "\x00", "' OR 1=1 --"),
        *("facts : s66", "é\u202e", "🙂"),
    ],
)
def test_operators_are_words_and_signs_are_nothing(client: FlaskClient, machine: Machine, words: str) -> None:
    machine.ended(title="plain")
    answer = client.get("/", query_string={"q": words})
    assert answer.status_code == 200
    assert "plain" not in titles(answer.text)
    assert "<script>" not in client.get("/?q=<script>alert(1)</script>").text


@searching(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.text(max_size=60))
def test_no_words_can_break_a_search(app: Flask, machine: Machine, words: str) -> None:
    desk: Desk = app.extensions["desk"]
    assert isinstance(desk.index.find(Filter(words=words), ("failed",), 5), list)


def test_many_tasks_are_taken_in_step_by_step_and_the_page_says_so(app: Flask, machine: Machine) -> None:
    for number in range(900):
        machine.asked(title=f"number {number}")
    client = app.test_client()
    first = client.get("/?q=number").text
    assert "still being read for the search" in first
    (version,) = re.findall(r'data-version="([^"]+)" data-live="/live\?unread=1"', first)
    assert client.get(f"/live?unread=1&version={version}").json == {}
    client.get("/?q=number")
    last = client.get("/?q=number").text
    assert "still being read" not in last
    # The page that missed some of them hears of it, though no task has changed.
    assert client.get(f"/live?unread=1&version={version}").json == {"version": version}
    assert client.get(f"/live?version={version}").json == {}
    assert "number 899" in titles(last)


def test_what_the_records_forget_the_index_forgets(app: Flask, machine: Machine) -> None:
    old, new = machine.ended(title="secret plan"), machine.ended(title="plan b")
    index, seen = app.extensions["desk"].index, app.extensions["desk"].seen
    index.follow()
    old.completed_at = datetime(2020, 1, 1, tzinfo=UTC)
    seen.look(old, "phone")
    seen.look(new, "phone")
    models.database.execute_sql("UPDATE tasks SET reported_rev = rev")
    models.database.execute_sql(
        "UPDATE tasks SET completed_at = '2020-01-01 00:00:00' WHERE id = ?", (old.id,)
    )
    recovery.forget(new.created_at)
    index.tidy()
    seen.forget()
    own = sqlite3.connect(Path(models.database.database).with_suffix(".viewer.db"))
    assert own.execute("SELECT title FROM found").fetchall() == [("plan b",)]
    assert own.execute("SELECT task_id FROM seen").fetchall() == [(new.id,)]
    own.close()


def test_other_records_under_the_same_name_are_read_anew(
    app: Flask, client: FlaskClient, machine: Machine
) -> None:
    for _ in range(3):
        machine.ended(title="before")
    assert len(found(client, "before")) == 3
    machine.forget_everything()
    for _ in range(5):
        machine.ended(title="after")
    assert found(client, "before") == []
    assert len(found(client, "after")) == 5


def test_records_are_told_apart_by_when_they_were_begun(machine: Machine) -> None:
    clock.Boot.delete().execute()
    assert records.origin() == ""
    clock.Boot.insert(id="this", origin=1790000000.1).execute()
    clock.Boot.insert(id="later", origin=1790000099.1).execute()
    assert records.origin() == "1790000000.1"


def test_the_index_keeps_up_by_itself(app: Flask, machine: Machine) -> None:
    machine.ended(title="quiet")
    index = app.extensions["desk"].index
    app.extensions["desk"].start()
    deadline = time.monotonic() + 10
    while index.is_behind:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_viewers_file_is_for_its_owner_only_and_may_be_deleted(
    machine: Machine, devices: Devices, settings: Settings
) -> None:
    path = Path(models.database.database).with_suffix(".viewer.db")
    # As an earlier version left it; what SQLite puts beside it holds commands and what they printed.
    Path(f"{path}-wal").touch(0o644)
    create_app(machine.inbox, devices, settings)
    beside = list(path.parent.glob(f"{path.name}*"))
    assert len(beside) == 3, "the file, its journal and what SQLite shares of it"
    assert {one.stat().st_mode & 0o777 for one in beside} == {0o600}
    path.unlink()
    machine.ended(title="still here")
    client = create_app(machine.inbox, devices, settings).test_client()
    assert found(client, "still") == ["still here"]


def test_a_file_that_is_damaged_in_the_midst_is_made_anew(
    machine: Machine, devices: Devices, settings: Settings
) -> None:
    path = Path(models.database.database).with_suffix(".viewer.db")
    for number in range(50):
        machine.ended(title=f"number {number}")
    first = create_app(machine.inbox, devices, settings)
    first.extensions["desk"].index.follow()
    first.extensions["desk"].index._own.connection.close()
    whole = path.read_bytes()
    assert len(whole) > 10 * 4096
    path.write_bytes(whole[: 3 * 4096] + b"x" * (len(whole) - 3 * 4096))
    client = create_app(machine.inbox, devices, settings).test_client()
    assert found(client, "number 49") == ["number 49"]


def test_a_file_that_is_only_locked_is_not_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, connect = tmp_path / "x.viewer.db", sqlite3.connect
    first = OwnFile(path)
    first.mark("since", "long ago")
    first.connection.close()
    other = connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = exclusive")
    other.execute("BEGIN EXCLUSIVE")
    impatient = lambda name, **more: connect(name, **{**more, "timeout": 0})  # noqa: E731
    monkeypatch.setattr("viewer.own.sqlite3.connect", impatient)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        OwnFile(path)
    other.close()
    assert OwnFile(path).mark("since", "today") == "long ago"
