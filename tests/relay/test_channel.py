"""`WS /ws` with a real client: hello, webhooks, acknowledgements, and how sessions end."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from relay import channel, delivery, endings, store
from relay.delivery import WINDOW
from relay.endings import MAX_SENDS
from relay.server import listen
from relay.writer import Unavailable
from tests.chain import MACHINE_KEY, wait_until
from tests.relay import conftest
from tests.relay.conftest import SECOND_KEY, Machine, Served, serve


def connected(relay: Served) -> int:
    return int(relay.http.get("/").json()["connected_clients"])


def test_hello_is_answered_with_welcome_by_the_name_that_the_key_has(relay: Served) -> None:
    relay.command()
    relay.command()
    with relay.machine(greet=False) as machine:
        machine.say(type="hello", machine="another-name", version="1.2.3")
        assert machine.hear() == {"type": "welcome", "protocol": 1, "machine": "laptop", "waiting": 2}


@pytest.mark.parametrize("first", [{"type": "heartbeat"}, {"type": "ack", "delivery_ids": []}])
def test_a_session_begins_with_hello_or_ends(relay: Served, first: dict[str, Any]) -> None:
    relay.command()
    with relay.machine(greet=False) as machine:
        machine.say(**first)
        assert machine.close_code() == 4400
        assert "hello" in (machine.connection.close_reason or "")


@pytest.mark.parametrize("spoken", [0, 2, "one", None, {"of": "another kind"}])
def test_a_machine_of_another_protocol_hears_that_both_sides_must_be_updated(
    shared: Served, spoken: Any
) -> None:
    with shared.machine(greet=False) as machine:
        machine.say(type="hello", protocol=spoken, name="laptop", what="is not known in ours")
        assert machine.close_code() == 4400
        reason = machine.connection.close_reason or ""
    assert f"the relay speaks protocol 1 and the machine {spoken!r:.20}; update both sides" in reason


def test_a_machine_that_says_nothing_is_not_kept(relay: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "HELLO_S", 0.1)
    with relay.machine(greet=False) as machine:
        assert machine.close_code() == 4400


def test_nothing_is_sent_before_hello(relay: Served) -> None:
    relay.command()
    with relay.machine(greet=False) as machine:
        assert machine.greet()["type"] == "welcome"
        assert machine.hear()["type"] == "webhook"


@pytest.mark.parametrize(
    "garbage",
    [
        "", "{", "[]", "null", "NaN", '{"type": "unknown"}', '{"type": "ack"}', '{"type": "hello"}',
        '{"type": "heartbeat", "more": 1}', '{"type": "nack", "delivery_id": 5, "error": "x"}', "[" * 100_000,
        '{"type": "ack", "delivery_ids": ["\\ud800"]}',
        '{"type": "hello", "machine": "laptop", "version": "1"}',
        b"", b"\x00\xff", b'{"type": "heartbeat"}',
    ],
)  # fmt: skip
def test_a_frame_that_is_none_of_ours_ends_the_session(shared: Served, garbage: str | bytes) -> None:
    with shared.machine() as machine:
        machine.connection.send(garbage)
        assert machine.close_code() == 4400
    assert shared.http.get("/").status_code == 200
    with shared.machine() as machine:
        assert machine.is_silent()


def test_a_webhook_travels_in_the_documented_envelope(relay: Served) -> None:
    params = {"command": ["git", "status"], "working_dir": "/p", "odd": 'ü😀\n"', "n": [1, 1.5, None]}
    with relay.machine() as machine:
        relay.command(task_id="t1", params=params, title="How is it?", ttl=600, sync=True, query={"wait": 0})
        frame = machine.webhook()
    assert frame.keys() == {
        "type", "event", "delivery_id", "timestamp", "payload", "caller", "expires_in", "attempt",
    }  # fmt: skip
    assert (frame["event"], frame["caller"], frame["attempt"]) == ("task_command", "phone", 1)
    assert datetime.fromisoformat(frame["timestamp"]).utcoffset() is not None
    assert 590 < frame["expires_in"] <= 600
    data = frame["payload"]["data"]
    assert frame["payload"]["type"] == "task_command"
    assert (data["task_id"], data["action_type"], data["params"], data["title"]) == (
        "t1",
        "git",
        params,
        "How is it?",
    )


@pytest.mark.parametrize(
    "body",
    [
        '{"a":"' + "é" * 524_283 + '"}',
        '{"a":"' + "😀" * 262_141 + '"}',
        '{"a":[' + ",".join(["1e15"] * 209_713) + "]}",
    ],
)
def test_the_largest_body_fits_into_a_frame_however_it_is_written(relay: Served, body: str) -> None:
    assert 1_048_000 < len(body.encode()) <= 1_048_576
    with relay.machine() as machine:
        assert relay.http.post("/webhook", content=body.encode()).status_code == 202
        frame = machine.webhook()
        machine.ack(frame["delivery_id"])


def test_what_was_acknowledged_does_not_come_again(relay: Served) -> None:
    relay.command(task_id="t1")
    relay.command(task_id="t2")
    with relay.machine() as machine:
        first, second = machine.webhook(), machine.webhook()
        assert [one["payload"]["data"]["task_id"] for one in (first, second)] == ["t1", "t2"]
        machine.ack(second["delivery_id"])
    with relay.machine(greet=False) as machine:
        assert machine.greet()["waiting"] == 1
        again = machine.webhook()
        assert (again["delivery_id"], again["attempt"]) == (first["delivery_id"], 2)
        machine.ack(again["delivery_id"])
    with relay.machine(greet=False) as machine:
        assert machine.greet()["waiting"] == 0
        assert machine.is_silent()


def test_within_one_session_nothing_comes_twice(relay: Served) -> None:
    relay.command()
    with relay.machine() as machine:
        machine.webhook()
        relay.command()
        assert machine.webhook()["attempt"] == 1
        assert machine.is_silent()


def test_an_acknowledgement_of_something_else_means_nothing(relay: Served) -> None:
    relay.command()
    with relay.machine() as machine:
        machine.webhook()
        machine.ack("never-sent", "", "x" * 10_000)
    with relay.machine(greet=False) as machine:
        assert machine.greet()["waiting"] == 1


def test_a_machine_cannot_acknowledge_what_is_another_machines(two_machines: Served) -> None:
    two_machines.command(task_id="t", machine="laptop", headers={"webhook-id": "d-1"})
    with two_machines.machine(SECOND_KEY) as tower:
        tower.ack("d-1")
    with two_machines.machine() as laptop:
        assert laptop.webhook()["delivery_id"] == "d-1"


def test_what_arrived_while_the_machine_was_away_comes_in_order(relay: Served) -> None:
    wanted = [relay.command().json()["task_id"] for _ in range(10)]
    with relay.machine() as machine:
        assert [machine.webhook()["payload"]["data"]["task_id"] for _ in wanted] == wanted


def test_no_more_than_a_window_is_on_its_way_and_answers_make_room(relay: Served) -> None:
    for _ in range(WINDOW + 5):
        relay.command()
    with relay.machine() as machine:
        sent = [machine.webhook() for _ in range(WINDOW)]
        assert machine.is_silent()
        # Also a new webhook finds no room, and is not forgotten by that.
        relay.command(task_id="last")
        assert machine.is_silent()
        machine.say(type="ack", delivery_ids=[one["delivery_id"] for one in sent])
        rest = [machine.webhook() for _ in range(6)]
        assert rest[-1]["payload"]["data"]["task_id"] == "last"
        assert {one["attempt"] for one in rest} == {1}
        assert machine.is_silent()


def test_a_refusal_ends_the_task_as_rejected_and_makes_room(relay: Served) -> None:
    for number in range(WINDOW + 1):
        relay.command(task_id=f"t{number}")
    waiting = relay.later(lambda: relay.http.get("/tasks/t0", params={"wait": 40}))
    with relay.machine() as machine:
        first = machine.webhook()
        for _ in range(WINDOW - 1):
            machine.webhook()
        machine.say(type="nack", delivery_id=first["delivery_id"], error="The id was used before, see /a/b")
        assert machine.webhook()["payload"]["data"]["task_id"] == f"t{WINDOW}"
        task = waiting.result(20).json()
    assert (task["status"], task["reason"]) == ("failed", "rejected")
    assert task["error"] == "The id was used before, see /a/b"
    assert task["summary"] == "It was not run. The id was used before, see b."
    assert task["completed_at"] is not None
    with relay.machine(greet=False) as machine:
        assert machine.greet()["waiting"] == WINDOW


def test_a_refused_event_is_forgotten(relay: Served) -> None:
    relay.post({"type": "note"})
    with relay.machine() as machine:
        machine.say(type="nack", delivery_id=machine.webhook()["delivery_id"], error="no")
        assert machine.is_silent()
    with relay.machine(greet=False) as machine:
        assert machine.greet()["waiting"] == 0


def test_a_heartbeat_is_answered(relay: Served) -> None:
    with relay.machine() as machine:
        for _ in range(3):
            machine.say(type="heartbeat")
            assert machine.hear()["type"] == "heartbeat_ack"


def test_a_machine_hears_once_which_results_were_fetched(relay: Served) -> None:
    with relay.machine() as machine:
        for task_id in ("over", "runs"):
            relay.command(task_id=task_id)
            machine.webhook()
        relay.report("over", status="completed", attempt=1)
        relay.report("runs", status="running", attempt=1)
        relay.http.get("/tasks").raise_for_status()
        machine.say(type="heartbeat")
        assert machine.hear()["fetched"] == [], "a list is not read out"
        for task_id in ("over", "runs", "over"):
            relay.task(task_id)
        machine.say(type="heartbeat")
        (fetched,) = machine.hear()["fetched"]
        assert (fetched["task_id"], fetched["attempt"], 0 <= fetched["ago_s"] < 30) == ("over", 1, True)
        machine.say(type="heartbeat")
        assert machine.hear()["fetched"] == []
        relay.http.get("/tasks", params={"limit": 1, "status": "completed"}).raise_for_status()
        machine.say(type="heartbeat")
        assert [one["task_id"] for one in machine.hear()["fetched"]] == ["over"], "a shortcut reads it out"


def test_the_newer_session_of_a_machine_replaces_the_older(relay: Served) -> None:
    relay.command(task_id="t1")
    with relay.machine() as older:
        older.webhook()
        with relay.machine() as newer:
            assert older.close_code() == 4409
            assert newer.webhook()["attempt"] == 2
            relay.command(task_id="t2")
            assert newer.webhook()["payload"]["data"]["task_id"] == "t2"
            assert connected(relay) == 1


@pytest.mark.parametrize("first", [None, "{", '{"type": "heartbeat"}'])
def test_a_connection_that_says_no_hello_replaces_nobody(
    relay: Served, monkeypatch: pytest.MonkeyPatch, first: str | None
) -> None:
    monkeypatch.setattr(channel, "HELLO_S", 0.1)
    with relay.machine() as healthy:
        with relay.machine(greet=False) as late:
            assert connected(relay) == 1
            if first is not None:
                late.connection.send(first)
            assert late.close_code() == 4400
        assert healthy.is_silent()
        relay.command(task_id="t")
        assert task_id(healthy.webhook()) == "t"
    wait_until(lambda: connected(relay) == 0, "the machine is seen to be gone")
    with relay.machine(greet=False):
        assert connected(relay) == 0


def test_the_log_tells_an_empty_connection_from_the_machines_own(
    relay: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="relay")
    with relay.machine():
        with relay.machine(greet=False):
            pass
        wait_until(lambda: "laptop disconnected before it had said hello." in caplog.text, "it is told")
        assert "laptop disconnected." not in caplog.text
    wait_until(lambda: "laptop disconnected." in caplog.text, "it is told")


def test_presence_is_what_is_connected_now(relay: Served) -> None:
    task_id = relay.command().json()["task_id"]
    assert (connected(relay), relay.task(task_id)["machine_online"]) == (0, False)
    with relay.machine():
        assert (connected(relay), relay.task(task_id)["machine_online"]) == (1, True)
        assert "Ask again" in relay.task(task_id)["next_step"]
    wait_until(lambda: connected(relay) == 0, "the machine is seen to be gone")
    assert relay.task(task_id)["machine_online"] is False


def test_a_webhook_is_on_its_way_as_soon_as_it_is_accepted(relay: Served) -> None:
    with relay.machine() as machine:
        for number in range(50):
            relay.command(task_id=f"t{number}")
            frame = machine.webhook()
            assert frame["payload"]["data"]["task_id"] == f"t{number}"
            machine.say(type="ack", delivery_ids=[frame["delivery_id"]])


def test_a_session_that_breaks_off_loses_nothing(relay: Served, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        relay.command(task_id=f"t{number}")
    for attempt in (1, 2, 3):
        with relay.machine() as machine:
            assert machine.webhook()["attempt"] == attempt
            # No closing handshake: the line is cut.
            machine.connection.socket.close()
        wait_until(lambda: connected(relay) == 0, "the cut is seen")
    assert "Traceback" not in caplog.text, "that is no fault of ours"


def test_two_keys_of_one_machine_are_one_machine(tmp_path: Path) -> None:
    with serve(tmp_path, MACHINE_KEY=f"laptop={MACHINE_KEY},laptop={SECOND_KEY}") as relay:
        assert relay.command().json()["machine"] == "laptop"
        with relay.machine() as older, relay.machine(SECOND_KEY) as newer:
            assert older.close_code() == 4409
            assert newer.webhook()["event"] == "task_command"


def large(relay: Served, size: int, task_id: str) -> None:
    relay.command(task_id=task_id, params={"text": "x" * size})


def task_id(frame: dict[str, Any]) -> str:
    return str(frame["payload"]["data"]["task_id"])


def test_no_more_than_a_mebibyte_is_on_its_way_and_answers_make_room(relay: Served) -> None:
    for number in range(4):
        large(relay, 400_000, f"t{number}")
    with relay.machine() as machine:
        first, second = machine.webhook(), machine.webhook()
        assert machine.is_silent()
        machine.say(type="ack", delivery_ids=[second["delivery_id"]])
        third = machine.webhook()
        assert task_id(third) == "t2"
        assert machine.is_silent()
        machine.say(type="ack", delivery_ids=[first["delivery_id"], third["delivery_id"]])
        assert task_id(machine.webhook()) == "t3"


def test_one_that_is_larger_than_the_window_travels_alone(relay: Served) -> None:
    relay.command(task_id="before")
    # A 😀 has 4 bytes on the way in and 12 on the way out.
    body = '{"type": "note", "text": "' + "😀" * 200_000 + '"}'
    relay.http.post("/webhook", content=body.encode()).raise_for_status()
    relay.command(task_id="after")
    with relay.machine() as machine:
        before = machine.webhook()
        assert machine.is_silent()
        machine.say(type="ack", delivery_ids=[before["delivery_id"]])
        alone = machine.webhook()
        assert alone["event"] == "note"
        assert machine.is_silent()
        machine.say(type="ack", delivery_ids=[alone["delivery_id"]])
        assert task_id(machine.webhook()) == "after"


def test_a_machine_that_acknowledges_nothing_is_asked_to_connect_again(
    relay: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "ACK_S", 0.2)
    relay.command(task_id="t")
    with relay.machine() as machine:
        machine.webhook()
        # A heartbeat says that it lives, and not that it works.
        machine.say(type="heartbeat")
        assert machine.close_code() == 4408
    wait_until(lambda: connected(relay) == 0, "the session is over")
    with relay.machine() as machine:
        assert machine.webhook()["attempt"] == 2


def test_only_the_oldest_counts_and_whoever_answers_stays(
    relay: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "ACK_S", 0.4)
    with relay.machine() as machine:
        for number in range(20):
            relay.command(task_id=f"t{number}")
            machine.ack(machine.webhook()["delivery_id"])
        time.sleep(0.05)
        assert machine.is_silent()


def test_what_ten_sessions_passed_over_is_undeliverable(relay: Served) -> None:
    relay.command(task_id="t")
    waiting = relay.later(lambda: relay.http.get("/tasks/t", params={"wait": 40}))
    for attempt in range(1, MAX_SENDS + 1):
        relay.command(task_id=f"other{attempt}")
        with relay.machine() as machine:
            assert machine.webhook()["attempt"] == attempt
            machine.ack(machine.webhook()["delivery_id"])
        wait_until(lambda: connected(relay) == 0, "the session is over")
    assert relay.task("t")["status"] == "pending"
    with relay.machine(greet=False) as machine:
        assert machine.greet()["waiting"] == 0
        assert machine.is_silent()
        task = waiting.result(20).json()
        assert (task["status"], task["reason"]) == ("failed", "undeliverable")
        assert task["summary"] == "It never reached the machine."
        assert relay.order("t", "retry").status_code == 202
        assert machine.webhook()["payload"]["data"]["task_id"] == "t"


def test_what_a_machine_cannot_write_down_for_many_sessions_is_kept(relay: Served) -> None:
    relay.command(task_id="t")
    relay.post({"type": "note"})
    for attempt in range(1, MAX_SENDS + 3):
        with relay.machine() as machine:
            assert [machine.webhook()["attempt"] for _ in range(2)] == [attempt, attempt]
    with relay.machine() as machine:
        machine.ack(*(machine.webhook()["delivery_id"] for _ in range(2)))
    assert relay.task("t")["status"] == "pending"
    assert {state for _, state, _ in relay.rows("SELECT event, state, sends FROM deliveries")} == {
        "delivered"
    }


def test_what_a_machine_that_lives_on_never_answers_is_undeliverable(
    relay: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "ACK_S", 0.1)
    monkeypatch.setattr(endings, "MAX_SENDS", 2)
    relay.command(task_id="t")
    for _ in range(2):
        with relay.machine() as machine:
            machine.webhook()
            assert machine.is_silent()
            assert machine.close_code() == 4408
        wait_until(lambda: connected(relay) == 0, "the session is over")
    with relay.machine() as machine:
        assert machine.is_silent()
    assert relay.task("t")["reason"] == "undeliverable"


def narrow(*address: Any) -> socket.socket:
    """As `listen`, but little of what is sent finds room on the way."""
    listening = listen(*address)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    return listening


@pytest.fixture
def narrow_relay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(conftest, "listen", narrow)
    with serve(tmp_path) as served:
        yield served


def test_what_did_not_leave_for_a_machine_that_reads_nothing_is_cancelled_at_once(
    narrow_relay: Served,
) -> None:
    relay = narrow_relay
    for number in range(10):
        large(relay, 90_000, f"t{number}")
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    line.connect(("127.0.0.1", relay.port))
    with connect(
        f"ws://127.0.0.1:{relay.port}/ws", sock=line, max_queue=1, close_timeout=0.1, compression=None,
        additional_headers={"Authorization": f"Bearer {MACHINE_KEY}"}, proxy=None,
    ) as connection:  # fmt: skip
        assert Machine(connection).greet()["type"] == "welcome"
        wait_until(lambda: relay.state("t9") == [("task_command", "waiting", 1)], "it was to be sent")
        assert relay.order("t9", "cancel").json()["status"] == "cancelled"
    wait_until(lambda: relay.state("t8") == [("task_command", "waiting", 0)], "it has not left")
    assert relay.state("t0") == [("task_command", "waiting", 1)]
    assert relay.order("t8", "cancel").json()["status"] == "cancelled"
    assert relay.order("t0", "cancel").json()["status"] == "pending", "the machine may have it"
    with relay.machine() as machine:
        assert [task_id(machine.webhook()) for _ in range(8)] == [f"t{number}" for number in range(8)]


@pytest.mark.parametrize("when", ["before the session", "during the session"])
def test_what_is_larger_than_the_machine_takes_is_never_sent(relay: Served, when: str) -> None:
    if when == "before the session":
        large(relay, 10_000, "large")
    with relay.machine(greet=False) as machine:
        machine.greet(max_message=10_000)
        if when == "during the session":
            large(relay, 10_000, "large")
        large(relay, 7_000, "small")
        assert task_id(machine.webhook()) == "small"
        assert machine.is_silent()
    task = relay.task("large")
    assert (task["status"], task["reason"]) == ("failed", "undeliverable")
    assert relay.state("large") == [("task_command", "dropped", 0)]


def test_no_frame_is_larger_than_the_machine_said(relay: Served) -> None:
    for size in range(7_700, 8_400, 50):
        large(relay, size, f"t{size}")
    with relay.machine(greet=False) as machine:
        waiting = machine.greet(max_message=10_000)["waiting"]
        assert 0 < waiting < 14, "some fit, and some do not"
        for _ in range(waiting):
            text = machine.connection.recv(10)
            assert len(text.encode()) <= 10_000
        assert machine.is_silent()


def test_what_is_cancelled_while_the_window_is_full_is_never_sent(relay: Served) -> None:
    for number in range(WINDOW + 2):
        relay.command(task_id=f"t{number}")
    with relay.machine() as machine:
        sent = [machine.webhook() for _ in range(WINDOW)]
        assert relay.order(f"t{WINDOW}", "cancel").json()["status"] == "cancelled"
        machine.say(type="ack", delivery_ids=[one["delivery_id"] for one in sent])
        assert task_id(machine.webhook()) == f"t{WINDOW + 1}"
        assert machine.is_silent()


def test_a_session_whose_acknowledgement_cannot_be_written_ends_and_the_next_gets_it_again(
    relay: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise Unavailable("The disk is full")

    relay.command(task_id="t")
    with monkeypatch.context() as patch, relay.machine() as machine:
        patch.setattr(store, "acknowledge", full)
        machine.say(type="ack", delivery_ids=[machine.webhook()["delivery_id"]])
        assert machine.close_code() == 1013
    assert "Traceback" not in caplog.text
    with relay.machine() as machine:
        assert machine.webhook()["attempt"] == 2


@pytest.mark.parametrize(("where", "what"), [(store, "acknowledge"), (channel, "envelope")])
def test_a_fault_of_ours_is_logged_as_such_and_ends_the_session(
    relay: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: Any, what: str
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("something of ours is broken")

    caplog.set_level("INFO")
    relay.command(task_id="t")
    with monkeypatch.context() as patch, relay.machine() as machine:
        delivery_id = machine.webhook()["delivery_id"]
        patch.setattr(where, what, broken)
        if what == "acknowledge":
            machine.say(type="ack", delivery_ids=[delivery_id])
        else:
            relay.command(task_id="u")
        assert machine.close_code() == 1011
    assert "Session of laptop met a fault of ours\nTraceback" in caplog.text
    assert "something of ours is broken" in caplog.text
    assert "laptop disconnected" not in caplog.text
    with relay.machine() as machine:
        assert task_id(machine.webhook()) == "t"


def test_the_busy_and_the_queued_are_counted_from_nothing_up(relay: Served) -> None:
    for wrong in ({"busy": -1}, {"queued": "many"}, {"queued": 2**70}):
        with relay.machine() as machine:
            machine.say(type="heartbeat", **wrong)
            assert machine.close_code() == 4400


def test_a_session_ends_at_once_also_while_it_is_sending(relay: Served) -> None:
    # In Python 3.11, asyncio.wait_for swallows a cancellation that comes as its work is done.
    for number in range(WINDOW):
        relay.command(task_id=f"t{number}")
    for sent in range(1, 4 * MAX_SENDS):
        relay.rows("UPDATE deliveries SET sends = 0")
        with relay.machine() as machine:
            for _ in range(sent % WINDOW):
                machine.webhook()
            started = time.monotonic()
            machine.connection.send("{")
            assert machine.close_code() == 4400
            assert time.monotonic() - started < 10
