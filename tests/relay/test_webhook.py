"""`POST /webhook`: commands and events, accepted once, on disk."""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from relay.protocol import MAX_BODY_BYTES
from tests.chain import wait_until
from tests.relay.conftest import SECOND_KEY, Served

ID = r"^[A-Za-z0-9._:-]{1,128}$"


def command(**data: Any) -> dict[str, Any]:
    return {
        "type": "task_command",
        "data": {"action_type": "git", "params": {"command": ["git", "status"]}, **data},
    }


@pytest.mark.parametrize(
    "data",
    [
        {"task_id": "git_status_001", "action_type": "git",
         "params": {"command": ["git", "status"], "working_dir": "/p"}},
        {"task_id": "s:1", "action_type": "shell", "params": {"command": "echo 'Hello'", "timeout": 10}},
        {"task_id": "s-2", "action_type": "shell", "params": {"command": ["ls", "-la"]}},
        {"action_type": "claude_code", "params": {"prompt": "Review it", "mode": "review"}},
        {"action_type": "git", "params": {"command": "git log -3"}, "title": "What's new?", "ttl": 900},
        {"action_type": "git"},
        {"action_type": "not_known_here", "params": {"any": {"thing": [1, None, 1.5, "ü😀"]}}},
    ],
)  # fmt: skip
def test_documented_payloads_are_accepted_unchanged(shared: Served, data: dict[str, Any]) -> None:
    answer = shared.post({"type": "task_command", "data": data})
    assert answer.status_code == 202, answer.text
    task = answer.json()
    assert task["task_id"] == data.get("task_id", task["task_id"])
    assert re.match(ID, task["task_id"])
    assert (task["status"], task["action_type"], task["machine"]) == (
        "pending",
        data["action_type"],
        "laptop",
    )
    assert task["title"] == data.get("title")
    assert answer.headers["location"] == f"/tasks/{task['task_id']}"
    assert int(answer.headers["retry-after"]) > 0
    assert task["duplicate"] is False
    ((payload,),) = shared.rows(f"SELECT payload FROM deliveries WHERE task_id = '{task['task_id']}'")
    assert json.loads(payload)["data"]["params"] == data.get("params", {})


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        ({"type": "task_comand", "data": {"action_type": "git"}}, "'task_comand'"),
        ({"type": "Task-Command", "data": {}}, "'Task-Command'"),
        ({"type": "command", "data": {"action_type": "git"}}, "'command'"),
        ({"data": {"action_type": "git"}}, "missing"),
        ({"action_type": "git", "params": {"command": ["git", "status"]}}, "outside of data"),
        ({"type": "task_command", "action_type": "git", "params": {}}, "outside of data"),
    ],
)
def test_what_was_meant_as_a_command_is_not_kept_as_an_event(
    shared: Served, body: dict[str, Any], seen: str
) -> None:
    before = shared.rows("SELECT count(*) FROM deliveries")
    answer = shared.post(body)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, "malformed", "type")
    assert seen in answer.json()["detail"]
    (right,) = re.findall(r"write (.*)$", answer.json()["detail"])
    assert shared.rows("SELECT count(*) FROM deliveries") == before
    assert shared.post(json.loads(right)).status_code == 202


@pytest.mark.parametrize(
    "body",
    [
        {"type": "llm_conversation_insight", "data": {"text": "a task_command"}}, {"data": "action_type"},
        {"type": "task_completed"}, {"type": "command"}, {},
        {"type": "user.action", "data": {"action_type": "login"}},
        {"type": "analytics", "action_type": "click"},
    ],
)  # fmt: skip
def test_what_is_no_command_is_an_event(shared: Served, body: dict[str, Any]) -> None:
    assert shared.post(body).json()["status"] == "accepted"


@pytest.mark.parametrize("wait", ["abc", "99", "-1", "nan"])
def test_a_wait_that_is_none_is_refused_for_events_too(shared: Served, wait: str) -> None:
    answer = shared.post({"type": "note"}, params={"wait": wait})
    assert (answer.status_code, answer.json()["field"]) == (422, "wait")


def test_a_made_id_is_short_and_says_what_it_is_about(shared: Served) -> None:
    made = {shared.command("shell").json()["task_id"] for _ in range(20)}
    assert len(made) == 20
    assert all(re.fullmatch(r"shell-[a-z2-9]{8}", one) for one in made)


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"type": "task_command"}, "data"),
        ({"type": "task_command", "data": []}, "data"),
        ({"type": "task_command", "data": {}}, "data.action_type"),
        (command(action_type="git status"), "data.action_type"),
        (command(action_type=None), "data.action_type"),
        (command(action_type="x" * 33), "data.action_type"),
        (command(task_id="a b"), "data.task_id"),
        (command(task_id=".."), "data.task_id"),
        (command(task_id=7), "data.task_id"),
        (command(params=["git"]), "data.params"),
        (command(ttl=0), "data.ttl"),
        (command(ttl=604_801), "data.ttl"),
        (command(title="x" * 201), "data.title"),
        (command(machine="tower"), "data.machine"),
        (command(machine="My Laptop"), "data.machine"),
        (command(sync="perhaps"), "data.sync"),
        (command(comand="git"), "data.comand"),
        ({**command(), "task_id": "beside"}, "task_id"),
        ({"type": 5}, "type"),
        ({"type": "two words"}, "type"),
        ({"type": "x" * 101}, "type"),
    ],
)
def test_what_is_wrong_with_a_command_is_said_with_its_field(
    shared: Served, payload: dict[str, Any], field: str
) -> None:
    answer = shared.post(payload)
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed")
    assert answer.json()["field"] == field
    assert len(answer.text) < 2_000


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"\xff", b'{"type": NaN}', b"[" * 100_000, b'{"a":' * 100_000,
        b'{"a": 1, "a": 2}',
        b'{"type": "task_command", "data": {"action_type": "git", "ttl": NaN}}', b'{"a": "\\ud800"}',
        b'{"a": "\\u0000"}', b'{"a": 18446744073709551616}', b'{"a": ' + b"1" * 5_000 + b"}", b'{"a": 1e999}',
    ],
)  # fmt: skip
def test_bodies_that_would_poison_the_chain_get_a_sentence(shared: Served, body: bytes) -> None:
    before = shared.rows("SELECT count(*) FROM deliveries")
    answer = shared.http.post("/webhook", content=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed")
    assert shared.rows("SELECT count(*) FROM deliveries") == before


def test_a_body_of_exactly_one_mebibyte_is_accepted_and_one_byte_more_is_not(shared: Served) -> None:
    def sized(size: int) -> bytes:
        return b'{"a":"' + b"x" * (size - 8) + b'"}'

    assert shared.http.post("/webhook", content=sized(MAX_BODY_BYTES)).status_code == 202
    answer = shared.http.post("/webhook", content=sized(MAX_BODY_BYTES + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert str(MAX_BODY_BYTES + 1) in answer.json()["detail"]


def test_the_limit_holds_for_a_body_that_does_not_say_its_size(shared: Served) -> None:
    def chunks(size: int) -> Any:
        yield b'{"a":"'
        for _ in range(7):
            yield b"x" * (size // 8)
        yield b"x" * (size - 8 - 7 * (size // 8)) + b'"}'

    assert shared.http.post("/webhook", content=chunks(MAX_BODY_BYTES)).status_code == 202
    assert shared.http.post("/webhook", content=chunks(MAX_BODY_BYTES + 1)).status_code == 413


def test_a_body_that_stops_coming_is_answered(shared: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.body.BODY_S", 0.2)

    def slow() -> Any:
        yield b'{"a":'
        time.sleep(0.4)  # a client that dawdles is what is tested
        yield b"1}"

    answer = shared.http.post("/webhook", content=slow())
    assert answer.status_code == 422
    assert "not complete" in answer.json()["detail"]


def test_the_same_command_again_is_the_same_task(shared: Served) -> None:
    first = shared.post(command(task_id="again", title="once"))
    again = shared.post(command(task_id="again", title="once"))
    assert (first.json()["duplicate"], again.json()["duplicate"]) == (False, True)
    assert again.status_code == 202
    assert again.json()["created_at"] == first.json()["created_at"]
    assert shared.rows("SELECT count(*) FROM deliveries WHERE task_id = 'again'") == [(1,)]


def test_how_long_a_caller_listens_does_not_make_it_another_command(shared: Served) -> None:
    shared.post(command(task_id="listen"))
    assert shared.post(command(task_id="listen", sync=False)).json()["duplicate"] is True
    assert shared.post(command(task_id="listen"), params={"wait": 0}).json()["duplicate"] is True


@pytest.mark.parametrize(
    "other",
    [{"params": {}}, {"title": "other"}, {"action_type": "shell"}, {"ttl": 60}, {"machine": "laptop"}],
)
def test_the_same_id_with_another_command_is_refused(shared: Served, other: dict[str, Any]) -> None:
    shared.post(command(task_id="mine"))
    answer = shared.post(command(task_id="mine", **other))
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "'mine'" in answer.json()["detail"]
    assert shared.task("mine")["action_type"] == "git"


@pytest.mark.parametrize("header", ["Idempotency-Key", "webhook-id", "X-GitHub-Delivery"])
def test_a_repeated_delivery_id_makes_one_task(shared: Served, header: str) -> None:
    headers = {header: f"only-once-{header}"}
    first = shared.post(command(), headers=headers).json()
    again = shared.post(command(), headers=headers).json()
    assert (again["task_id"], again["duplicate"]) == (first["task_id"], True)
    other = shared.post(command(params={"command": "git log"}), headers=headers)
    assert other.status_code == 409
    assert f"only-once-{header}" in other.json()["detail"]
    assert shared.post({"type": "note"}, headers=headers).status_code == 409


@pytest.mark.parametrize("wrong", ["", "x" * 129, "two words", "schlüssel"])
def test_a_delivery_id_that_cannot_be_written_down_is_refused(shared: Served, wrong: str) -> None:
    answer = shared.http.post("/webhook", json=command(), headers=[(b"Idempotency-Key", wrong.encode())])
    assert (answer.status_code, answer.json()["field"]) == (422, "idempotency-key")


def test_without_an_id_every_post_is_a_new_task(shared: Served) -> None:
    assert shared.post(command()).json()["task_id"] != shared.post(command()).json()["task_id"]


def test_many_at_once_with_one_id_make_one_task(shared: Served) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: shared.post(command(task_id="race")).json(), range(32)))
    assert sorted(one["duplicate"] for one in answers) == [False] + [True] * 31
    assert shared.rows("SELECT count(*) FROM deliveries WHERE task_id = 'race'") == [(1,)]


@pytest.mark.parametrize(
    "asked",
    [
        {"params": {"wait": "20"}}, {"headers": {"Prefer": "wait=20"}},
        {"headers": {"Prefer": "respond-async, wait=9999"}}, {"sync": True},
    ],
)  # fmt: skip
def test_a_caller_may_wait_for_the_result(shared: Served, asked: dict[str, Any]) -> None:
    sync = asked.pop("sync", False)
    task_id = f"wait-{len(shared.rows('SELECT 1 FROM tasks'))}"
    answer = shared.later(lambda: shared.post(command(task_id=task_id, sync=sync), **asked))
    wait_until(lambda: shared.rows(f"SELECT 1 FROM tasks WHERE task_id = '{task_id}'"), "it is accepted")
    # Still running is no answer yet.
    assert shared.report(task_id, status="running", rev=1).status_code == 204
    assert shared.report(task_id, status="completed", rev=2, returncode=0).status_code == 204
    final = answer.result(15)
    assert (final.status_code, final.json()["status"]) == (200, "completed")
    assert "retry-after" not in final.headers


def test_waiting_ends_with_what_is_known_when_the_time_is_over(shared: Served) -> None:
    started = time.monotonic()
    answer = shared.post(command(), params={"wait": 0.3})
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert 0.3 <= time.monotonic() - started < 10


def test_a_number_in_the_address_goes_before_sync(shared: Served) -> None:
    started = time.monotonic()
    assert shared.post(command(sync=True), params={"wait": 0}).status_code == 202
    assert time.monotonic() - started < 10


def test_a_finished_command_posted_again_is_answered_with_its_result(shared: Served) -> None:
    shared.post(command(task_id="done-before"))
    shared.report("done-before", returncode=0, output="the result")
    answer = shared.post(command(task_id="done-before"))
    assert (answer.status_code, answer.json()["output"], answer.json()["duplicate"]) == (
        200,
        "the result",
        True,
    )


@pytest.mark.parametrize(
    ("payload", "event"),
    [
        ({"type": "llm_conversation_insight", "data": {"text": "Tests first"}}, "llm_conversation_insight"),
        ({"anything": ["at", "all"]}, "webhook"),
        ({}, "webhook"),
    ],
)
def test_anything_else_is_an_event_for_every_machine(
    two_machines: Served, payload: dict[str, Any], event: str
) -> None:
    answer = two_machines.post(payload)
    assert answer.status_code == 202
    receipt = answer.json()
    assert (receipt["status"], receipt["event"], receipt["duplicate"]) == ("accepted", event, False)
    stored = two_machines.rows("SELECT machine, delivery_id, event, payload FROM deliveries ORDER BY machine")
    assert [row[:3] for row in stored] == [
        ("laptop", receipt["delivery_id"], event), ("tower", receipt["delivery_id"], event),
    ]  # fmt: skip
    assert json.loads(stored[0][3]) == payload
    for key, machine in ((None, "laptop"), (SECOND_KEY, "tower")):
        with two_machines.machine(*([key] if key else [])) as session:
            frame = session.webhook()
            assert (frame["event"], frame["payload"], frame["caller"]) == (event, payload, "phone"), machine


def test_an_event_comes_once_however_often_it_is_sent(shared: Served) -> None:
    headers = {"webhook-id": "event-1"}
    assert shared.post({"type": "note"}, headers=headers).json()["duplicate"] is False
    assert shared.post({"type": "note"}, headers=headers).json()["duplicate"] is True
    assert shared.post({"type": "note", "other": 1}, headers=headers).status_code == 409


def test_with_several_machines_a_command_must_name_one(two_machines: Served) -> None:
    answer = two_machines.post(command())
    assert (answer.status_code, answer.json()["field"]) == (422, "data.machine")
    assert "laptop, tower" in answer.json()["detail"]
    assert two_machines.post(command(machine="tower")).json()["machine"] == "tower"
    unknown = two_machines.post(command(machine="fridge"))
    assert unknown.status_code == 422
    assert "laptop, tower" in unknown.json()["detail"]


def test_a_command_reaches_the_named_machine_only(two_machines: Served) -> None:
    with two_machines.machine() as laptop, two_machines.machine(SECOND_KEY) as tower:
        task = two_machines.post(command(machine="tower")).json()
        assert tower.webhook()["payload"]["data"]["task_id"] == task["task_id"]
        assert laptop.is_silent()
