"""How deliveries end without the machine's yes, on the relay's file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay import endings, orders, store, tables
from relay.endings import FORGET_BATCH, MAX_SENDS, SENT_GRACE_S
from relay.protocol import CANCEL, COMMAND, RETRY, Reason, Report, Status
from relay.tables import Delivery, Task


@pytest.fixture(autouse=True)
def database(tmp_path: Path) -> Iterator[None]:
    tables.open_database(tmp_path / "relay.db").connect()
    yield
    tables.database.close()


def new(delivery_id: str, event: str = COMMAND, **changes: Any) -> store.NewDelivery:
    values = {
        "delivery_id": delivery_id, "event": event, "payload": "{}", "digest": delivery_id, "caller": "phone",
        "accepted_at": 10.0, "expires_at": 100.0,
    }  # fmt: skip
    return store.NewDelivery(**{**values, **changes})


def command(task_id: str, **changes: Any) -> None:
    store.accept_command(new(f"of-{task_id}", **changes), store.NewTask(task_id, "git", None, "laptop"))


def order(task_id: str, event: str, attempt: int = 1) -> Task:
    payload = json.dumps({"task_id": task_id, "attempt": attempt})
    made = new(
        f"{event}-{Delivery.select().count()}", event, payload=payload, digest=payload, expires_at=500.0
    )
    return (orders.cancel if event == CANCEL else orders.retry)(found(task_id), made)


def found(task_id: str) -> Task:
    task = store.get_task(task_id)
    assert task is not None
    return task


def send(times: int = 1) -> list[str]:
    """Send all that waits, in as many sessions; what was sent last."""
    sent: list[Delivery] = []
    for _ in range(times):
        sent = store.load([seq for seq, _ in store.waiting("laptop", skip=[], limit=1_000)])
    return [one.delivery_id for one in sent]


def take() -> None:
    """The machine takes all that waits."""
    store.acknowledge("laptop", send())


def report(task_id: str, status: str, rev: int, attempt: int = 1) -> None:
    news = {"task_id": task_id, "status": status, "rev": rev, "attempt": attempt}
    store.put_report("laptop", Report.model_validate(news))


def verdict(task_id: str) -> tuple[str, str | None]:
    return found(task_id).status, found(task_id).reason


def test_a_refusal_ends_a_task_that_waits_and_one_that_the_machine_has_lost() -> None:
    for task_id in ("waits", "runs", "asks", "done"):
        command(task_id)
    report("runs", "running", 1)
    report("asks", "awaiting_approval", 1)
    report("done", "completed", 1)
    assert endings.refuse("laptop", "of-waits", "no", 5.0) == ["waits"]
    assert endings.refuse("laptop", "of-waits", "no", 5.0) == []
    assert endings.refuse("tower", "of-runs", "no", 5.0) == []
    assert endings.refuse("laptop", "of-runs", "There is no task 'runs'", 6.0) == ["runs"]
    assert endings.refuse("laptop", "of-asks", "There is no task 'asks'", 6.0) == ["asks"]
    assert endings.refuse("laptop", "of-done", "no", 5.0) == []
    assert verdict("waits") == verdict("runs") == verdict("asks") == (Status.FAILED, Reason.REJECTED)
    assert found("runs").completed_at == 6.0
    assert verdict("done") == (Status.COMPLETED, None)


def test_what_the_machine_passed_over_is_undeliverable_and_the_rest_is_not() -> None:
    command("tired")
    send(MAX_SENDS)
    command("fresh")
    assert endings.give_up("laptop", [], 5.0) == []
    assert endings.give_up("tower", ["of-tired"], 5.0) == []
    assert endings.give_up("laptop", ["of-tired", "gone"], 5.0) == ["tired"]
    assert verdict("tired") == (Status.FAILED, Reason.UNDELIVERABLE)
    assert "10 sessions" in str(found("tired").error)
    assert send() == ["of-fresh"]


def test_what_is_too_large_for_the_machine_is_undeliverable_and_the_rest_is_not() -> None:
    command("small", payload="x" * 100)
    command("large", payload="x" * 101)
    assert endings.drop_large("laptop", 100, 5.0) == ["large"]
    assert verdict("large") == (Status.FAILED, Reason.UNDELIVERABLE)
    assert send() == ["of-small"]


def test_what_was_never_sent_expires_on_time_and_what_was_sent_a_minute_later() -> None:
    command("sent")
    send()
    command("never-sent")
    assert endings.expire(99.9, 7.0) == []
    assert endings.expire(100.0, 7.0) == ["never-sent"]
    assert endings.expire(100.0 + SENT_GRACE_S - 0.1, 7.0) == []
    assert endings.expire(100.0 + SENT_GRACE_S, 8.0) == ["sent"]
    assert verdict("sent") == verdict("never-sent") == (Status.FAILED, Reason.EXPIRED)
    assert (found("never-sent").completed_at, found("sent").completed_at) == (7.0, 8.0)
    assert send() == []


def test_what_the_machine_has_does_not_expire_here() -> None:
    command("taken")
    take()
    assert endings.expire(1e12, 7.0) == []
    assert verdict("taken") == (Status.PENDING, None)


def test_an_event_expires_without_a_word() -> None:
    store.accept_event(new("note", "note"), ["laptop", "tower"])
    assert endings.expire(100.0, 7.0) == []
    assert store.count_waiting("laptop") == store.count_waiting("tower") == 0


def test_a_whole_backlog_can_expire_at_once() -> None:
    count = 3_000
    for number in range(count):
        command(f"t{number}")
    assert len(endings.expire(100.0, 7.0)) == count
    assert Task.select().where(Task.reason == Reason.EXPIRED).count() == count


@pytest.mark.parametrize("ending", ["expired", "tired"])
def test_an_order_to_stop_that_never_arrived_does_not_end_the_task(ending: str) -> None:
    command("t")
    take()
    order("t", CANCEL)
    (order_id,) = send()
    ended = endings.give_up("laptop", [order_id], 5.0) if ending == "tired" else endings.expire(1e9, 5.0)
    assert ended == []
    assert send() == []
    assert verdict("t") == (Status.PENDING, None), "the machine has it, and will tell"


def test_an_order_to_stop_that_the_machine_refuses_ends_a_task_that_it_has_lost() -> None:
    command("t")
    take()
    order("t", CANCEL)
    (refused,) = send()
    assert endings.refuse("laptop", refused, "There is no task 't'", 5.0) == ["t"]


def test_stopping_twice_is_one_order() -> None:
    command("t")
    take()
    for _ in range(3):
        order("t", CANCEL)
    assert [one.event for one in Delivery.find("state = 'waiting'")] == [CANCEL]
    assert verdict("t") == (Status.PENDING, None), (
        "the second order must not take the first one for a command"
    )


def test_an_order_to_stop_does_not_stop_the_next_attempt() -> None:
    command("t")
    send()
    order("t", CANCEL)
    endings.expire(100.0 + SENT_GRACE_S, 5.0)
    order("t", RETRY)
    assert send() == ["of-t"]


@pytest.mark.parametrize("ending", ["cancelled", "expired", "refused"])
def test_an_attempt_that_never_reached_the_machine_keeps_its_number_when_it_is_tried_again(
    ending: str,
) -> None:
    command("t")
    take()
    report("t", "failed", 5)
    assert order("t", RETRY, 2).attempt == 2
    (retry,) = [one.delivery_id for one in Delivery.find("state = 'waiting'")]
    if ending == "cancelled":
        assert order("t", CANCEL, 2).status == Status.CANCELLED
    elif ending == "expired":
        assert endings.expire(500.0, 5.0) == ["t"]
    else:
        send()
        assert endings.refuse("laptop", retry, "not now", 5.0) == ["t"]
    # The machine knows attempt 1 only: an order for attempt 3 would mean nothing to it.
    assert order("t", RETRY, 2).attempt == 2
    assert send() == [retry]
    report("t", "running", 6, attempt=2)
    assert verdict("t") == (Status.RUNNING, None)
    report("t", "failed", 7, attempt=2)
    assert order("t", RETRY, 3).attempt == 3


def test_what_was_sent_before_does_not_count_as_never_sent_when_it_is_tried_again() -> None:
    command("t")
    send(MAX_SENDS)
    endings.give_up("laptop", ["of-t"], 5.0)
    order("t", RETRY)
    assert order("t", CANCEL).status == Status.PENDING, "the machine may have it, and says how it ended"


def test_what_is_old_and_settled_is_forgotten_in_batches() -> None:
    for number in range(FORGET_BATCH + 20):
        command(f"t{number}")
    take()
    for number in range(FORGET_BATCH + 10):
        report(f"t{number}", "cancelled", 1)
    assert endings.forget(10.0) == 0, "nothing is older than that"
    counts = []
    while count := endings.forget(11.0):
        counts.append(count)
    assert max(counts) <= 2 * FORGET_BATCH
    assert sum(counts) == 2 * (FORGET_BATCH + 10)
    assert Task.select().count() == Delivery.select().count() == 10
    assert {task.status for task in Task.select()} == {Status.PENDING}


def test_what_waits_or_is_new_or_unfinished_is_not_forgotten() -> None:
    for task_id in ("waits", "runs", "new"):
        command(task_id, accepted_at=1_000.0 if task_id == "new" else 10.0)
    store.accept_event(new("waiting-event", "note"), ["laptop"])
    report("runs", "running", 1)
    # A machine whose clock is a year behind says when it ended.
    Task.change("status = 'completed', completed_at = 1.0", "task_id = 'new'")
    Delivery.change("state = 'delivered'", "delivery_id IN ('of-runs', 'of-new')")
    assert endings.forget(500.0) == 0
    assert endings.forget(2_000.0) == 2
    assert {task.task_id for task in Task.select()} == {"waits", "runs"}
    assert store.count_waiting("laptop") == 2


def test_a_task_that_can_run_again_keeps_what_is_sent_for_that() -> None:
    command("t", accepted_at=10.0)
    endings.expire(100.0, now=1_000.0)
    assert endings.forget(500.0) == 0
    order("t", RETRY)
    assert send() == ["of-t"]


def test_a_task_that_ended_without_a_time_is_forgotten_as_well() -> None:
    command("t")
    take()
    report("t", "completed", 1)
    assert found("t").completed_at is None
    assert endings.forget(11.0) == 2
