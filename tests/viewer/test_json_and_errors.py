"""The documented JSON, events, and a calm page for every fault."""

from __future__ import annotations

import json
import re
from datetime import datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.viewer.machine import Machine
from worker import models

KEYS = {
    "id", "action_type", "status", "reason", "title", "input_data", "output_data", "error", "created_at",
    "started_at", "completed_at", "attempt", "caller",
}  # fmt: skip


def test_the_api_lists_the_newest_tasks_first(client: FlaskClient, machine: Machine) -> None:
    for number in range(25):
        machine.asked(title=str(number))
    assert [task["title"] for task in client.get("/api/tasks").json["tasks"]] == [
        str(n) for n in range(24, 4, -1)
    ]
    assert len(client.get("/api/tasks?limit=200").json["tasks"]) == 25
    assert [task["title"] for task in client.get("/api/tasks?limit=1").json["tasks"]] == ["24"]


def test_the_api_gives_one_task_with_parsed_data_and_utc_times(client: FlaskClient, machine: Machine) -> None:
    task = machine.ended("make", title="Make", returncode=2, error="No luck", headline=None)
    found = client.get(f"/api/task/{task.id}").json
    assert set(found) == KEYS
    assert found["input_data"] == {"command": "make"}
    assert found["output_data"]["returncode"] == 2
    assert (found["status"], found["reason"], found["error"]) == ("failed", "exit_status", "No luck")
    assert found["created_at"].endswith("Z")
    assert datetime.fromisoformat(found["completed_at"]).utcoffset() is not None


def test_a_task_that_has_not_run_has_no_result_yet(client: FlaskClient, machine: Machine) -> None:
    found = client.get(f"/api/task/{machine.asked().id}").json
    assert found["output_data"] is found["started_at"] is found["completed_at"] is None


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "", "1.5", "٣", "9" * 5000])
def test_a_wrong_limit_is_a_400_with_one_sentence(client: FlaskClient, limit: str) -> None:
    answer = client.get("/api/tasks", query_string={"limit": limit})
    assert answer.status_code == 400
    assert re.fullmatch("limit is a whole number from 1 to 200, not .{1,30}", answer.json["error"])


def test_an_unknown_task_is_a_404_in_json_and_a_page_for_people(client: FlaskClient) -> None:
    answer = client.get("/api/task/nobody")
    assert (answer.status_code, answer.json) == (404, {"error": "There is no task 'nobody'"})
    for address in ("/t/nobody", "/t/nobody/raw", "/t/nobody/retry", "/t/a%20b", "/t/..", "/t/..."):
        page = client.get(address)
        assert page.status_code == 404
        assert "No such task" in page.text
        assert 'href="/">All tasks' in page.text


def test_a_post_for_an_unknown_task_is_a_404(client: FlaskClient) -> None:
    assert client.post("/t/nobody/retry", headers={"Origin": "http://localhost"}).status_code == 404


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [("GET", "/nowhere", 404), ("POST", "/", 405), ("GET", "/t", 404), ("GET", "/static/../app.py", 404)],
)
def test_faults_have_calm_pages(client: FlaskClient, method: str, address: str, status: int) -> None:
    answer = client.open(address, method=method, headers={"Origin": "http://localhost"})
    assert answer.status_code == status
    assert "<h1>" in answer.text
    assert "All tasks" in answer.text


def test_a_wrong_method_still_says_which_are_right(client: FlaskClient) -> None:
    assert "GET" in client.post("/", headers={"Origin": "http://localhost"}).headers["Allow"]


def test_a_huge_form_is_refused(client: FlaskClient, machine: Machine) -> None:
    task = machine.ended(returncode=1)
    answer = client.post(
        f"/t/{task.id}/retry", headers={"Origin": "http://localhost"}, data={"attempt": "1" * 70_000}
    )
    assert answer.status_code == 413
    assert "Too much" in answer.text


def test_a_fault_of_our_own_shows_no_inner_life(
    app: Flask, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/fault")
    def fault() -> str:
        raise RuntimeError("a secret of the program")

    answer = client.get("/fault")
    assert answer.status_code == 500
    assert "Something went wrong here" in answer.text
    assert "secret" not in answer.text
    assert "a secret of the program" in caplog.text


def test_records_that_cannot_be_read_are_a_503(client: FlaskClient, machine: Machine) -> None:
    machine.asked()
    models.database.execute_sql("ALTER TABLE tasks RENAME TO elsewhere")
    for address in ("/", "/api/tasks", "/live", "/t/task-1"):
        assert client.get(address).status_code == 503
    assert "The records cannot be used right now" in client.get("/").text
    assert "try again" in client.get("/api/tasks").json["error"]


def test_events_are_listed_newest_first_with_their_payload_for_reading(
    client: FlaskClient, machine: Machine
) -> None:
    machine.event("github.push", {"ref": "refs/heads/main"})
    machine.event("llm_conversation_insight", {"text": "<b>é"})
    page = client.get("/events").text
    assert page.index("llm_conversation_insight") < page.index("github.push")
    assert "&#34;text&#34;: &#34;&lt;b&gt;é&#34;" in page
    assert page.count("<details") == 2
    assert "<details open" not in page


def test_a_huge_event_is_cut_and_can_be_downloaded(client: FlaskClient, machine: Machine) -> None:
    payload = {"text": "x" * 900_000}
    machine.event("big", payload)
    page = client.get("/events").text
    assert len(page) < 40_000
    assert "Cut after 16 KB." in page
    address = re.search(r'href="(/events/\d+/raw)"', page)
    assert address
    assert json.loads(client.get(address[1]).data) == payload
    assert client.get("/events/99/raw").status_code == 404
    assert client.get(f"/events/{2**70}/raw").status_code == 404


def test_without_events_the_page_says_what_they_are(client: FlaskClient, machine: Machine) -> None:
    assert "No events yet" in client.get("/events").text
    for number in range(32):
        machine.event(f"number {number}.")
    page = client.get("/events").text
    address = re.search(r'href="([^"]+)">Show earlier events', page)
    assert address
    older = client.get(address[1]).text
    assert "number 1." in older
    assert "number 2." not in older
    assert "Nothing earlier" in client.get("/events?before=0").text
