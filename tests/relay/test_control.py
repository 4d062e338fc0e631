"""`POST /tasks/{id}/cancel` and `/retry`: orders that are kept like commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from relay.protocol import CANCEL, COMMAND, RETRY, Webhook
from tests.chain import API_KEY
from tests.relay.conftest import Machine, Served, serve


def taken(machine: Machine) -> dict[str, Any]:
    """The next webhook, acknowledged."""
    frame = machine.webhook()
    machine.ack(frame["delivery_id"])
    return frame


def test_what_was_never_sent_is_cancelled_at_once_and_never_delivered(relay: Served) -> None:
    relay.command(task_id="t")
    answer = relay.order("t", "cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert answer.json()["completed_at"] is not None
    assert answer.json()["summary"] == "It was cancelled."
    with relay.machine(greet=False) as machine:
        assert machine.greet()["waiting"] == 0
        assert machine.is_silent()


def test_a_caller_who_waits_is_woken_by_a_cancel(relay: Served) -> None:
    relay.command(task_id="t")
    waiting = relay.later(lambda: relay.http.get("/tasks/t", params={"wait": 40}))
    relay.order("t", "cancel")
    assert waiting.result(20).json()["status"] == "cancelled"


def test_what_the_machine_has_is_stopped_by_an_order_with_its_attempt(relay: Served) -> None:
    with relay.machine() as machine:
        relay.command(task_id="t")
        taken(machine)
        answer = relay.order("t", "cancel")
        assert (answer.status_code, answer.json()["status"]) == (202, "pending")
        assert answer.headers["location"] == "/tasks/t"
        frame = taken(machine)
        assert (frame["event"], frame["caller"]) == (CANCEL, "phone")
        assert frame["payload"] == {"type": CANCEL, "data": {"task_id": "t", "attempt": 1}}
    relay.report("t", status="cancelled", completed_at="2027-01-01T00:00:00Z")
    assert relay.task("t")["status"] == "cancelled"


def test_a_cancel_may_wait_until_the_machine_has_stopped_it(relay: Served) -> None:
    with relay.machine() as machine:
        relay.command(task_id="t")
        taken(machine)
        relay.report("t", status="running")
        stopping = relay.later(lambda: relay.order("t", "cancel", params={"wait": 40}))
        assert taken(machine)["event"] == CANCEL
        relay.report("t", rev=2, status="cancelled")
        answer = stopping.result(20)
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


def test_a_cancel_survives_that_the_machine_is_away_and_comes_again_until_it_is_acknowledged(
    relay: Served,
) -> None:
    relay.command(task_id="t")
    with relay.machine() as machine:
        taken(machine)
    for _ in range(3):
        assert relay.order("t", "cancel").status_code == 202
    for attempt in (1, 2):
        with relay.machine(greet=False) as machine:
            assert machine.greet()["waiting"] == 1
            frame = machine.webhook()
            assert (frame["event"], frame["attempt"]) == (CANCEL, attempt)
            # A week: it must outlive the command, wherever that waits.
            assert frame["expires_in"] > 600_000


def test_a_cancel_overtakes_nothing(relay: Served) -> None:
    relay.command(task_id="t")
    with relay.machine() as machine:
        machine.webhook()
    assert relay.order("t", "cancel").json()["status"] == "pending"
    with relay.machine() as machine:
        assert [machine.webhook()["event"] for _ in range(2)] == [COMMAND, CANCEL]


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_what_has_ended_cannot_be_cancelled(shared: Served, status: str) -> None:
    shared.command(task_id=f"ended-{status}")
    shared.report(f"ended-{status}", status=status)
    answer = shared.order(f"ended-{status}", "cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert status in answer.json()["detail"]
    assert [event for event, _, _ in shared.state(f"ended-{status}")] == [COMMAND]


@pytest.mark.parametrize("status", ["pending", "running", "awaiting_approval", "completed"])
def test_only_failed_and_cancelled_tasks_run_again(shared: Served, status: str) -> None:
    shared.command(task_id=f"again-{status}")
    shared.report(f"again-{status}", status=status)
    answer = shared.order(f"again-{status}", "retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert status in answer.json()["detail"]
    assert shared.task(f"again-{status}")["attempt"] == 1


@pytest.mark.parametrize("order", ["cancel", "retry"])
def test_an_order_about_an_unknown_task_is_not_found(shared: Served, order: str) -> None:
    for task_id in ("nobody", "%00", "x" * 200):
        assert shared.order(task_id, order).status_code == 404


@pytest.mark.parametrize("order", ["cancel", "retry"])
def test_machines_and_strangers_give_no_orders(shared: Served, order: str) -> None:
    shared.command(task_id="guarded")
    assert shared.order("guarded", order, headers={"X-API-Key": "fake-wrong-key-0000"}).status_code == 401
    assert (
        shared.order("guarded", order, headers={"X-API-Key": "fake-machine-key-for-tests-0000"}).status_code
        == 403
    )
    assert shared.order("guarded", order, params={"wait": 46}).json()["field"] == "wait"
    assert shared.task("guarded")["status"] == "pending"


def test_running_again_is_the_next_attempt_and_old_news_is_ignored(relay: Served) -> None:
    with relay.machine() as machine:
        relay.command(task_id="t")
        taken(machine)
        relay.report(
            "t", rev=4, status="failed", reason="exit_status", error="no", returncode=1, output="old"
        )
        answer = relay.order("t", "retry")
        task = answer.json()
        assert (answer.status_code, task["status"], task["attempt"]) == (202, "pending", 2)
        assert (task["reason"], task["error"], task["returncode"], task["output"]) == (None, None, None, "")
        assert (task["started_at"], task["completed_at"]) == (None, None)
        frame = taken(machine)
        assert frame["payload"] == {"type": RETRY, "data": {"task_id": "t", "attempt": 2}}
        for rev in (4, 5, 99):
            assert relay.report("t", rev=rev, attempt=1, status="failed", reason="error").status_code == 204
            assert relay.task("t")["status"] == "pending"
        relay.report("t", rev=5, attempt=2, status="completed", output="new")
    task = relay.task("t")
    assert (task["status"], task["attempt"], task["output"]) == ("completed", 2, "new")


def test_an_order_that_is_delivered_again_says_the_same(relay: Served) -> None:
    relay.command(task_id="t")
    with relay.machine() as machine:
        taken(machine)
    relay.report("t", status="failed", reason="error")
    relay.order("t", "retry")
    seen = []
    for _ in range(3):
        with relay.machine() as machine:
            frame = machine.webhook()
            seen.append((frame["delivery_id"], json.dumps(frame["payload"])))
    assert len(set(seen)) == 1


def test_a_task_that_never_reached_the_machine_is_delivered_when_it_is_tried_again(relay: Served) -> None:
    relay.command(task_id="t", params={"n": 1})
    relay.order("t", "cancel")
    answer = relay.order("t", "retry")
    assert (answer.status_code, answer.json()["attempt"], answer.json()["status"]) == (202, 1, "pending")
    with relay.machine() as machine:
        frame = taken(machine)
        assert (frame["event"], frame["payload"]["data"]["params"]) == (COMMAND, {"n": 1})
        assert machine.is_silent()


def test_what_is_delivered_at_somebody_elses_wish_is_delivered_in_their_name(tmp_path: Path) -> None:
    other = "fake-other-key-for-tests-0000"
    with serve(tmp_path, API_KEY=f"owner={API_KEY},guest={other}") as relay:
        relay.command(task_id="t")
        relay.order("t", "cancel")
        assert relay.order("t", "retry", headers={"X-API-Key": other}).status_code == 202
        with relay.machine() as machine:
            frame = taken(machine)
            assert (frame["caller"], frame["first_caller"]) == ("guest", "owner")
        assert Webhook.model_validate(frame).first_caller == "owner"


def test_who_asked_first_is_told_only_when_it_is_somebody_else(tmp_path: Path) -> None:
    other = "fake-other-key-for-tests-0000"
    with serve(tmp_path, API_KEY=f"owner={API_KEY},guest={other}") as relay, relay.machine() as machine:
        relay.post({"type": "note"})
        assert "first_caller" not in taken(machine)
        relay.command(task_id="t")
        assert "first_caller" not in taken(machine)
        relay.report("t", status="failed", reason="error")
        relay.order("t", "retry", headers={"X-API-Key": other})
        frame = taken(machine)
        assert (frame["event"], frame["caller"], "first_caller" in frame) == (RETRY, "guest", False)


@pytest.mark.parametrize("reached", [True, False])
def test_run_again_under_the_same_key_makes_one_attempt(relay: Served, *, reached: bool) -> None:
    def again(key: str) -> httpx.Response:
        return relay.order("t", "retry", headers={"Idempotency-Key": key})

    relay.command(task_id="t")
    if reached:
        relay.report("t", status="failed", reason="error")
    else:
        relay.order("t", "cancel")
    first = again("k-1")
    assert again("k-1").json() == first.json(), "the answer may have been lost"
    attempt = first.json()["attempt"]
    relay.report("t", rev=9, attempt=attempt, status="failed", reason="error")
    answer = again("k-1")
    assert (answer.status_code, answer.json()["status"], answer.json()["attempt"]) == (200, "failed", attempt)
    answer = again("k-2")
    assert (answer.status_code, answer.json()["attempt"]) == (202, attempt + 1)
    with relay.machine() as machine:
        sent = [COMMAND, RETRY, RETRY] if reached else [COMMAND, RETRY]
        assert [machine.webhook()["event"] for _ in sent] == sent
        assert machine.is_silent()
    assert relay.order("t", "cancel", headers={"Idempotency-Key": "k-1"}).status_code == 409
    assert relay.order("t", "cancel", headers={"Idempotency-Key": ""}).status_code == 422


def test_a_cancel_under_the_same_key_is_answered_as_before(relay: Served) -> None:
    relay.command(task_id="t")
    answers = [relay.order("t", "cancel", headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [one.status_code for one in answers] == [200, 200]
    assert {one.json()["status"] for one in answers} == {"cancelled"}


def test_a_command_that_was_posted_again_after_it_failed_is_the_failed_task(relay: Served) -> None:
    relay.command(task_id="t")
    relay.report("t", status="failed", reason="error")
    answer = relay.command(task_id="t")
    assert (answer.status_code, answer.json()["status"], answer.json()["duplicate"]) == (200, "failed", True)


@pytest.mark.parametrize("event", [CANCEL, RETRY])
def test_a_webhook_cannot_pose_as_an_order(shared: Served, event: str) -> None:
    shared.command(task_id="posed")
    shared.report("posed", status="failed", reason="error")
    answer = shared.post({"type": event, "data": {"task_id": "posed", "attempt": 1}})
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, "malformed", "type")
    assert f"/tasks/{{id}}/{event.removeprefix('task_')}" in answer.json()["detail"]
    assert [event for event, _, _ in shared.state("posed")] == [COMMAND]
