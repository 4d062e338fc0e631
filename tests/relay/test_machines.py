"""`GET /machines`, and why a task waits: presence is what was heard."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from relay import hub
from tests.chain import MACHINE_KEY, wait_until
from tests.relay.conftest import SECOND_KEY, Served, serve


def machines(relay: Served) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in relay.http.get("/machines").raise_for_status().json()["machines"]}


def test_a_machine_that_was_never_there_is_shown_as_such(two_machines: Served) -> None:
    assert list(machines(two_machines)) == ["laptop", "tower"]
    assert machines(two_machines)["tower"] == {
        "name": "tower", "online": False, "last_seen_at": None, "version": None, "busy": None, "queued": None,
        "worker": None, "waiting": 0, "agents": None,
    }  # fmt: skip


def test_what_waits_is_counted_for_each_machine(two_machines: Served) -> None:
    two_machines.command(machine="tower")
    two_machines.post({"type": "note"})
    assert {name: one["waiting"] for name, one in machines(two_machines).items()} == {"laptop": 1, "tower": 2}
    with two_machines.machine(SECOND_KEY) as tower:
        first, _ = tower.webhook(), tower.webhook()
        tower.ack(first["delivery_id"])
        assert machines(two_machines)["tower"]["waiting"] == 1


def test_an_online_machine_tells_what_it_does(relay: Served) -> None:
    with relay.machine() as machine:
        machine.say(type="heartbeat", busy=2, queued=3)
        assert machine.hear()["type"] == "heartbeat_ack"
        shown = machines(relay)["laptop"]
    assert (shown["online"], shown["busy"], shown["queued"], shown["version"]) == (True, 2, 3, "test")
    assert datetime.fromisoformat(shown["last_seen_at"]).utcoffset() is not None


def test_an_online_machine_tells_which_assistants_it_can_call(relay: Served) -> None:
    agent = {"name": "claude_code", "version": None, "logged_in": None}
    with relay.machine(greet=False) as machine:
        machine.greet(agents=[agent])
        assert machines(relay)["laptop"]["agents"] == [agent]
        agent |= {"version": "2.1.331", "logged_in": True}
        machine.say(type="announcement", projects=[], agents=[agent])
        wait_until(lambda: machines(relay)["laptop"]["agents"] == [agent], "the news is shown")


def test_a_heartbeat_moves_when_it_was_seen(relay: Served) -> None:
    with relay.machine() as machine:
        first = machines(relay)["laptop"]["last_seen_at"]

        def beaten() -> bool:
            machine.say(type="heartbeat")
            machine.hear()
            return bool(machines(relay)["laptop"]["last_seen_at"] > first)

        wait_until(beaten, "a heartbeat is written down")


def test_when_it_was_seen_last_survives_a_restart_of_the_relay(tmp_path: Path) -> None:
    with serve(tmp_path) as relay:
        with relay.machine():
            pass
        wait_until(lambda: not machines(relay)["laptop"]["online"], "the machine is seen to be gone")
        relay.command(task_id="t")
        before = machines(relay)["laptop"]
    assert before["last_seen_at"] is not None
    assert (before["busy"], before["queued"]) == (None, None)
    with serve(tmp_path) as relay:
        assert machines(relay)["laptop"] == before
        said = relay.task("t")["next_step"]
    assert re.fullmatch(r"laptop is offline, last seen .+ ago; the task starts when it is back\.", said), said


def test_a_machine_that_is_silent_is_not_online_though_it_is_connected(
    relay: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.command(task_id="t")
    with relay.machine() as machine:
        assert machines(relay)["laptop"]["online"] is True
        monkeypatch.setattr(hub, "ONLINE_S", -1.0)
        assert machines(relay)["laptop"]["online"] is False
        assert relay.task("t")["machine_online"] is False
        assert relay.http.get("/").json()["connected_clients"] == 0
        monkeypatch.undo()
        machine.webhook()
        assert machine.is_silent()
        assert machines(relay)["laptop"]["online"] is True


def test_machines_are_shown_to_callers_only(shared: Served) -> None:
    assert shared.http.get("/machines", headers={"X-API-Key": MACHINE_KEY}).status_code == 403
    assert shared.http.get("/machines", headers={"X-API-Key": "fake-wrong-key-0000"}).status_code == 401


def test_why_a_task_waits_is_one_of_five_words(relay: Served) -> None:
    relay.command(task_id="t")
    assert relay.task("t")["waiting_for"] == "offline"
    with relay.machine() as machine:
        frame = machine.webhook()
        assert relay.task("t")["waiting_for"] == "queued"
        machine.ack(frame["delivery_id"])
        machine.say(type="heartbeat", busy=4, queued=1)
        machine.hear()
        assert relay.task("t")["waiting_for"] == "busy"
        relay.report("t", rev=1, status="awaiting_approval")
        assert relay.task("t")["waiting_for"] == "approval"
        for rev, status in enumerate(("running", "completed"), start=2):
            relay.report("t", rev=rev, status=status)
            assert relay.task("t")["waiting_for"] is None
    described = relay.http.get("/openapi.json").json()["components"]["schemas"]["TaskView"]["properties"]
    why = {"enum": ["offline", "no_worker", "busy", "approval", "queued"], "type": "string"}
    assert why in described["waiting_for"]["anyOf"]


def test_a_machine_without_its_worker_does_not_promise_to_start_anything(relay: Served) -> None:
    relay.command(task_id="t")
    with relay.machine() as machine:
        machine.ack(machine.webhook()["delivery_id"])
        machine.say(type="heartbeat", queued=1, worker=False)
        machine.hear()
        waits = relay.task("t")
        assert (waits["waiting_for"], machines(relay)["laptop"]["worker"]) == ("no_worker", False)
        assert waits["summary"].startswith("The worker on laptop does not run. It starts")
        assert waits["next_step"].startswith("Tell the user to start the worker on laptop.")
        relay.report("t", rev=1, status="running")
        assert "stopped while it ran; news comes when the worker is back." in relay.task("t")["summary"]
        machine.say(type="heartbeat", busy=1, worker=True)
        machine.hear()
        assert relay.task("t")["summary"] == "It is still running."


def test_what_a_machine_had_to_do_ends_when_it_has_no_key_any_more(tmp_path: Path) -> None:
    with serve(tmp_path, MACHINE_KEY=f"laptop={MACHINE_KEY},tower={SECOND_KEY}") as relay:
        for task_id in ("waits", "runs", "asks", "done"):
            relay.command(task_id=task_id, machine="laptop")
        relay.command(task_id="stays", machine="tower")
        for task_id, status in (("runs", "running"), ("asks", "awaiting_approval"), ("done", "completed")):
            relay.report(task_id, status=status)
    with serve(tmp_path, MACHINE_KEY=f"desk={MACHINE_KEY},tower={SECOND_KEY}") as relay:
        for task_id in ("waits", "runs", "asks"):
            task = relay.task(task_id)
            assert (task["status"], task["reason"]) == ("failed", "undeliverable")
            assert "MACHINE_KEY" in task["error"]
            assert "no key" in task["summary"]
            assert task["completed_at"] is not None
        assert (relay.task("done")["status"], relay.task("stays")["status"]) == ("completed", "pending")
        assert relay.state("waits") == [("task_command", "dropped", 0)]
    with serve(tmp_path, MACHINE_KEY=f"laptop={MACHINE_KEY}") as relay:
        relay.report("runs", rev=2)
        assert relay.task("runs")["status"] == "completed", "it came back, and its word counts"
