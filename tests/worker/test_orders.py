"""Cancel and "run again", as they come from the relay: each once, each for the attempt it means."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.protocol import Status, Webhook
from tests.door import hand_in, webhook
from tests.worker.conftest import NOW
from worker import clock, models, moves, recovery
from worker.inbox import Inbox, Unacceptable
from worker.models import Task

Add = Callable[..., Task]


def order(event: str, caller: str = "phone", **data: Any) -> Webhook:
    return webhook(event, {"type": event, "data": data}, caller=caller)


def status(task_id: str) -> tuple[str, int]:
    task = models.get(task_id)
    assert task is not None
    return task.status, task.attempt


def test_a_waiting_task_is_cancelled_at_once(inbox: Inbox, add: Add) -> None:
    add("t1")
    hand_in(inbox, order("task_cancel", task_id="t1", attempt=1))
    assert status("t1") == ("cancelled", 1)
    assert moves.claim("t1", "me", NOW) is None


def test_a_running_task_is_asked_to_stop_and_ended_by_its_worker(inbox: Inbox, add: Add) -> None:
    add("t1")
    running = moves.claim("t1", "me", NOW)
    assert running is not None
    assert not models.is_stop_asked(running)
    hand_in(inbox, order("task_cancel", task_id="t1", attempt=1))
    assert status("t1") == ("running", 1)
    assert models.is_stop_asked(running)


def test_an_order_that_changes_nothing_is_answered_with_how_it_stands(inbox: Inbox, add: Add) -> None:
    ended = moves.cancel(add("t1"), NOW)
    assert ended is not None
    moves.mark_reported([("t1", ended.rev)])
    hand_in(inbox, order("task_cancel", task_id="t1", attempt=1))
    assert [task.rev for task in models.unreported(5)] == [ended.rev]
    add("t2", reported_rev=moves.UNTOLD)
    hand_in(inbox, order("task_cancel", task_id="t2", attempt=9))
    assert [task.id for task in models.unreported(5)] == ["t1"], "of what was asked for here it knows nothing"


def test_an_order_for_another_attempt_changes_nothing(inbox: Inbox, add: Add) -> None:
    add("t1")
    hand_in(inbox, order("task_cancel", task_id="t1", attempt=2))
    assert status("t1") == ("pending", 1)


def test_run_again_comes_twice_and_makes_one_attempt(inbox: Inbox, add: Add) -> None:
    add("t1")
    hand_in(inbox, order("task_cancel", task_id="t1", attempt=1))
    hand_in(inbox, order("task_retry", task_id="t1", attempt=2))
    assert status("t1") == ("pending", 2)
    # The second attempt has failed meanwhile: the same order again must not start a third.
    second = moves.claim("t1", "me", NOW)
    assert second is not None
    moves.finish(second, Status.FAILED, NOW)
    hand_in(inbox, order("task_retry", task_id="t1", attempt=2))
    assert status("t1") == ("failed", 2)


@pytest.mark.parametrize("limited", ["the one who asks again", "the one who asked first"])
def test_run_again_must_be_allowed_to_whoever_asks_again_and_to_whoever_asked_first(
    inbox: Inbox, add: Add, policy_path: Path, limited: str
) -> None:
    first, again = ("owner", "phone") if limited == "the one who asks again" else ("phone", "owner")
    add("t1", caller=first)
    inbox.cancel("t1")
    everything = policy_path.read_text()
    policy_path.write_text(f'{everything}[callers.phone]\nallow = ["git.read"]\n')
    with pytest.raises(Unacceptable, match=r"phone may not ask for shell\.full"):
        hand_in(inbox, order("task_retry", caller=again, task_id="t1", attempt=2))
    assert status("t1") == ("cancelled", 1)
    policy_path.write_text(f'{everything}[callers.phone]\nallow = ["shell.full"]\n')
    hand_in(inbox, order("task_retry", caller=again, task_id="t1", attempt=2))
    assert status("t1") == ("pending", 2)


@pytest.mark.parametrize("limited", ["the one who asks again", "the one who asked first"])
def test_a_command_that_comes_at_somebody_elses_wish_must_be_allowed_to_both(
    inbox: Inbox, policy_path: Path, limited: str
) -> None:
    first, again = ("owner", "phone") if limited == "the one who asks again" else ("phone", "owner")
    policy_path.write_text(f'{policy_path.read_text()}[callers.phone]\nallow = ["git.read"]\n')
    for task_id, run in (("no", "echo hi"), ("yes", None)):
        data = {"task_id": task_id, "action_type": "shell", "params": {"command": run}}
        if run is None:
            data |= {"action_type": "git", "params": {"command": ["git", "status"]}}
        payload = {"type": "task_command", "data": data}
        hand_in(inbox, webhook("task_command", payload, caller=again, first_caller=first))
    assert (status("no"), status("yes")) == (("failed", 1), ("pending", 1))
    refused = models.get("no")
    assert refused is not None
    assert "phone may not ask for shell.full" in str(refused.error)
    assert refused.caller == first, "who asked for it is who asked first"


def test_a_stop_that_was_asked_for_one_attempt_does_not_stop_the_next(inbox: Inbox, add: Add) -> None:
    add("t1")
    first = moves.claim("t1", "me", NOW)
    assert first is not None
    inbox.cancel("t1")
    moves.finish(first, Status.CANCELLED, NOW)
    inbox.retry("t1")
    second = moves.claim("t1", "me", NOW)
    assert second is not None
    assert not models.is_stop_asked(second)


@pytest.mark.parametrize(
    ("event", "data", "word"),
    [
        ("task_cancel", {"task_id": "nobody", "attempt": 1}, "nobody"),
        ("task_retry", {"task_id": "nobody", "attempt": 2}, "nobody"),
        ("task_retry", {"task_id": "t1", "attempt": 2}, "pending"),
        ("task_cancel", {"task_id": "t1"}, "attempt is missing"),
        ("task_cancel", {"task_id": "t1", "attempt": 1, "force": True}, "force"),
    ],
)
def test_an_order_that_can_never_be_carried_out_is_refused(
    inbox: Inbox, add: Add, event: str, data: dict[str, Any], word: str
) -> None:
    add("t1")
    with pytest.raises(Unacceptable, match=word):
        hand_in(inbox, order(event, **data))


def test_the_load_is_what_runs_and_what_waits(inbox: Inbox, add: Add) -> None:
    for name in ("t1", "t2", "t3"):
        add(name)
    moves.claim("t1", "me", NOW)
    assert inbox.load() == (1, 2)


def test_deadlines_do_not_follow_the_wall_clock(add: Add) -> None:
    add("t1", expires_at=NOW + timedelta(hours=1))
    two_days_on = NOW + timedelta(days=2)
    task = moves.claim("t1", "me", two_days_on, steady=NOW)
    assert task is not None
    assert task.started_at == two_days_on


def test_the_origin_of_a_boot_is_what_the_first_process_said(records: object) -> None:
    assert clock._origin_of("boot-1", 100.0) == 100.0
    assert clock._origin_of("boot-1", 999.0) == 100.0
    assert clock._origin_of("boot-2", 999.0) == 999.0


def test_only_what_is_old_ended_and_told_is_forgotten(add: Add) -> None:
    for name in ("old", "untold", "new", "waits"):
        add(name)
    old = NOW - timedelta(days=40)
    for name, at in (("old", old), ("untold", old), ("new", NOW)):
        task = moves.claim(name, "me", NOW)
        assert task is not None
        ended = moves.finish(task, Status.COMPLETED, at)
        assert ended is not None
        if name != "untold":
            moves.mark_reported([(name, ended.rev)])
    models.output_dir().mkdir()
    for name in ("1-1.log", "2-1.log"):
        (models.output_dir() / name).write_text("printed")
    recovery.forget(NOW - timedelta(days=30))
    assert [path.name for path in models.output_dir().iterdir()] == ["2-1.log"]
    assert sorted(task.id for task in Task.select()) == ["new", "untold", "waits"]
