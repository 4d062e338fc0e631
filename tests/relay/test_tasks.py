"""Tasks as callers see them, and the reports of machines."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tests.relay.conftest import API_KEY, MACHINE_KEY, SECOND_KEY, Served

FIELDS = {
    "task_id", "status", "reason", "error", "action_type", "title", "machine", "machine_online",
    "waiting_for", "attempt", "returncode", "summary", "output", "truncated", "created_at", "started_at",
    "completed_at", "next_step", "duplicate",
}  # fmt: skip


def test_a_task_is_always_shown_with_all_its_fields(shared: Served) -> None:
    posted = shared.command(task_id="whole", title="How is it?").json()
    assert posted.keys() == FIELDS
    seen = shared.task("whole")
    assert seen.keys() == FIELDS
    assert seen["title"] == "How is it?"
    assert (seen["attempt"], seen["output"], seen["truncated"], seen["machine_online"]) == (
        1,
        "",
        False,
        False,
    )
    assert seen["summary"]
    assert seen["created_at"].endswith("Z")
    assert "laptop is offline, never seen; the task starts when it is back" in seen["next_step"]
    assert seen["summary"] == "Laptop is offline, never seen. It starts when the machine is back."


def test_a_report_becomes_what_callers_see(shared: Served) -> None:
    shared.command(task_id="reported")
    answer = shared.report(
        "reported", status="failed", reason="exit_status", error="It ended with exit status 3", returncode=3,
        headline="no such branch", output="fatal: no such branch\n", truncated=True,
        started_at="2026-01-01T10:00:00Z", completed_at="2026-01-01T11:00:02+01:00",
    )  # fmt: skip
    assert (answer.status_code, answer.content) == (204, b"")
    task = shared.task("reported")
    assert (task["status"], task["reason"], task["returncode"]) == ("failed", "exit_status", 3)
    assert (task["output"], task["truncated"]) == ("fatal: no such branch\n", True)
    assert (task["started_at"], task["completed_at"]) == ("2026-01-01T10:00:00Z", "2026-01-01T10:00:02Z")
    assert task["summary"] == "It failed. No such branch."
    assert "do not send it again" in task["next_step"]


def test_a_reason_that_another_version_stored_can_be_read(shared: Served) -> None:
    shared.command(task_id="odd")
    shared.report("odd", status="failed", reason="exit_status", error="It ended")
    shared.rows("UPDATE tasks SET reason = 'struck by lightning' WHERE task_id = 'odd'")
    assert (shared.task("odd")["reason"], shared.task("odd")["error"]) == ("error", "It ended")
    listed = shared.http.get("/tasks", params={"limit": 200}).raise_for_status().json()["tasks"]
    assert "odd" in {task["task_id"] for task in listed}


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("completed", "summary"), ("failed", "error"), ("cancelled", "cancelled"),
        ("awaiting_approval", "approve"), ("running", "offline"),
    ],
)  # fmt: skip
def test_the_next_step_fits_the_status(shared: Served, status: str, word: str) -> None:
    task_id = f"step-{status}"
    shared.command(task_id=task_id)
    shared.report(task_id, status=status)
    assert word in shared.task(task_id)["next_step"]


def test_a_running_task_that_asks_its_owner_says_so_until_it_goes_on(shared: Served) -> None:
    with shared.machine():
        shared.command(task_id="asks")
        shared.report("asks", rev=1, status="running", headline="Write a.txt")
        task = shared.task("asks")
        assert task["summary"] == "It waits for somebody to allow this on the machine: Write a.txt."
        assert task["next_step"].startswith("Tell the user to allow or deny it in the viewer on laptop.")
        shared.report("asks", rev=2, status="running")
        task = shared.task("asks")
        assert task["summary"] == "It is still running."
        assert task["next_step"].startswith("Ask again")
        assert shared.rows("SELECT summary FROM tasks WHERE task_id = 'asks'") == [(None,)]


def test_the_same_report_again_changes_nothing(shared: Served) -> None:
    shared.command(task_id="idem")
    for _ in range(3):
        assert shared.report("idem", rev=4, output="news").status_code == 204
    assert shared.task("idem")["output"] == "news"


@pytest.mark.parametrize(
    ("known", "late"),
    [
        ({"rev": 9, "attempt": 1, "status": "completed"}, {"rev": 8, "attempt": 1, "status": "running"}),
        ({"rev": 9, "attempt": 1, "status": "completed"}, {"rev": 9, "attempt": 1, "status": "failed"}),
        ({"rev": 9, "attempt": 2, "status": "running"}, {"rev": 8, "attempt": 1, "status": "failed"}),
        ({"rev": 9, "attempt": 2, "status": "pending"}, {"rev": 10, "attempt": 1, "status": "failed"}),
    ],
)
def test_late_news_never_undoes_newer_news(
    shared: Served, known: dict[str, Any], late: dict[str, Any]
) -> None:
    task_id = f"late-{known['attempt']}-{late['rev']}-{late['status']}"
    shared.command(task_id=task_id)
    shared.report(task_id, output="newer", **known)
    assert shared.report(task_id, output="older", **late).status_code == 204
    task = shared.task(task_id)
    assert (task["status"], task["attempt"], task["output"]) == (known["status"], known["attempt"], "newer")


def test_news_may_skip_what_came_between_and_a_next_attempt_begins_anew(shared: Served) -> None:
    shared.command(task_id="skip")
    shared.report("skip", rev=7, status="failed", reason="exit_status", error="no", returncode=1)
    shared.report("skip", rev=9, attempt=2, status="pending")
    task = shared.task("skip")
    assert (task["status"], task["attempt"], task["reason"], task["error"]) == ("pending", 2, None, None)
    assert (task["returncode"], task["completed_at"]) == (None, None)


def test_a_report_about_an_unknown_task_is_not_found(shared: Served) -> None:
    answer = shared.report("never-asked-for")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_machine_cannot_report_about_another_machines_task(two_machines: Served) -> None:
    two_machines.command(task_id="of-laptop", machine="laptop")
    assert two_machines.report("of-laptop", key=SECOND_KEY, output="forged").status_code == 404
    assert two_machines.task("of-laptop")["output"] == ""
    assert two_machines.report("of-laptop", output="true").status_code == 204


@pytest.mark.parametrize(
    "wrong",
    [
        {"rev": 0}, {"rev": 2**63}, {"attempt": 0}, {"status": "done"}, {"output": "x" * 20_001}, {"more": 1},
        {"output": "a\x00b"}, {"task_id": "another"}, {"completed_at": "yesterday"},
        {"completed_at": "9999-12-31T23:59:59-12:00"}, {"completed_at": "9999-12-31T23:59:59.999999Z"},
        {"started_at": "0001-01-01T00:00:00+14:00"},
    ],
)  # fmt: skip
def test_a_report_that_is_not_right_changes_nothing_and_breaks_nothing(
    shared: Served, wrong: dict[str, Any]
) -> None:
    shared.command(task_id="solid")
    answer = shared.report("solid", **wrong)
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed")
    assert shared.task("solid")["status"] == "pending"
    assert shared.http.get("/tasks").status_code == 200


def bundle(relay: Served, *reports: Any, key: str = MACHINE_KEY) -> httpx.Response:
    body = {"reports": list(reports)}
    return relay.http.put("/tasks", json=body, headers={"X-API-Key": key})


def news(task_id: str, **more: Any) -> dict[str, Any]:
    return {"task_id": task_id, "rev": 1, "attempt": 1, "status": "completed", **more}


def test_of_several_reports_each_is_taken_or_refused_by_itself(shared: Served) -> None:
    shared.command(task_id="first")
    shared.command(task_id="last")
    answer = bundle(
        shared, news("first", output="1"), news("nobody"), news("last", rev=0), {"task_id": 7},
        news("last", output="2"),
    )  # fmt: skip
    assert answer.status_code == 200
    assert [(one["task_id"], one["code"]) for one in answer.json()["refused"]] == [
        ("nobody", "not_found"), ("last", "malformed"), (None, "malformed"),
    ]  # fmt: skip
    assert all(one["detail"] for one in answer.json()["refused"])
    assert [shared.task(one)["output"] for one in ("first", "last")] == ["1", "2"]


def test_several_reports_wake_who_waits_for_any_of_them(shared: Served) -> None:
    shared.command(task_id="w1")
    shared.command(task_id="w2")
    waiting = [
        shared.later(lambda one=one: shared.http.get(f"/tasks/{one}", params={"wait": 40}))
        for one in ("w1", "w2")
    ]
    assert bundle(shared, news("w1"), news("w2")).json() == {"refused": []}
    assert [one.result(20).json()["status"] for one in waiting] == ["completed", "completed"]


@pytest.mark.parametrize(
    "body", [{}, {"reports": []}, {"reports": "all"}, {"reports": [1]}, {"reports": [{}] * 101}]
)
def test_what_is_no_list_of_reports_is_refused_as_a_whole(shared: Served, body: dict[str, Any]) -> None:
    answer = shared.http.put("/tasks", json=body, headers={"X-API-Key": MACHINE_KEY})
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed")


def test_several_reports_need_the_machines_key_and_are_about_its_own_tasks(two_machines: Served) -> None:
    two_machines.command(task_id="of-laptop", machine="laptop")
    assert bundle(two_machines, news("of-laptop"), key=API_KEY).status_code == 403
    assert bundle(two_machines, news("of-laptop"), key="nobody's-key-nobody's").status_code == 401
    refused = bundle(two_machines, news("of-laptop"), key=SECOND_KEY).json()["refused"]
    assert [one["code"] for one in refused] == ["not_found"]
    assert two_machines.task("of-laptop")["status"] == "pending"


def test_a_waiting_caller_is_woken_by_the_report_that_ends_it(shared: Served) -> None:
    shared.command(task_id="woken")
    started = time.monotonic()
    waiting = [
        shared.later(lambda: shared.http.get("/tasks/woken", params={"wait": 40})),
        shared.later(lambda: shared.http.get("/tasks/woken", headers={"Prefer": "wait=40"})),
    ]
    shared.report("woken", rev=1, status="running")
    shared.report("woken", rev=2, status="completed", output="done")
    for answer in waiting:
        assert answer.result(30).json()["output"] == "done"
    assert time.monotonic() - started < 20


def test_waiting_for_a_task_that_is_not_there_answers_at_once(shared: Served) -> None:
    started = time.monotonic()
    assert shared.http.get("/tasks/nobody", params={"wait": 40}).status_code == 404
    assert time.monotonic() - started < 20


def test_a_caller_who_goes_away_while_waiting_does_no_harm(relay: Served) -> None:
    relay.command(task_id="left")
    with pytest.raises(Exception, match="timed out"):
        relay.http.get("/tasks/left", params={"wait": 40}, timeout=0.1)
    relay.report("left", output="later")
    assert relay.task("left")["output"] == "later"


def test_the_list_is_newest_first_and_can_be_narrowed(two_machines: Served) -> None:
    for number in range(5):
        two_machines.command(task_id=f"t{number}", machine="tower" if number % 2 else "laptop")
    two_machines.report("t0")
    two_machines.report("t1", key=SECOND_KEY, status="failed", reason="error")

    def ids(**query: Any) -> list[str]:
        return [task["task_id"] for task in two_machines.http.get("/tasks", params=query).json()["tasks"]]

    assert ids() == ["t4", "t3", "t2", "t1", "t0"]
    assert ids(limit=2) == ["t4", "t3"]
    assert ids(status="pending") == ["t4", "t3", "t2"]
    assert ids(machine="tower") == ["t3", "t1"]
    assert ids(machine="tower", status="failed", limit=1) == ["t1"]
    assert ids(machine="fridge") == []


def test_the_list_shows_whole_tasks_and_twenty_of_them(relay: Served) -> None:
    for _ in range(25):
        relay.command()
    tasks = relay.http.get("/tasks").json()["tasks"]
    assert len(tasks) == 20
    assert all(task.keys() == FIELDS for task in tasks)


def test_any_task_id_can_be_asked_for_by_its_address(shared: Served) -> None:
    for task_id in ("a:b", "...a", "x" * 128, "A.b-c_d", "-"):
        posted = shared.command(task_id=task_id)
        assert shared.http.get(posted.headers["location"]).json()["task_id"] == task_id
        assert shared.report(task_id).status_code == 204
