"""Changes of the records: compare-and-set, from many threads and processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.protocol import MOVES, Reason, Status
from tests.chain import ROOT
from tests.worker.conftest import NOW
from worker import models, moves
from worker.models import Attempt, Event, Task

Add = Callable[..., Task]
LATER = NOW + timedelta(minutes=1)
HOUR = timedelta(hours=1)


def get(task_id: str) -> Task:
    task = models.get(task_id)
    assert task is not None
    return task


def put(add: Add, status: Status, task_id: str = "t") -> Task:
    add(task_id)
    Task.update(status=status, owner="me" if status is Status.RUNNING else None).where(
        Task.id == task_id
    ).execute()
    return get(task_id)


def in_thread(work: Callable[[], Any]) -> Any:
    try:
        return work()
    finally:
        models.database.close()


def test_an_id_is_taken_once(add: Add) -> None:
    add("t", title="first")
    values = {
        "action_type": "git",
        "input_data": "{}",
        "preview": "",
        "caller": "x",
        "digest": "x",
        "said_at": NOW,
        "expires_at": NOW,
    }
    assert moves.insert(NOW, id="t", **values) is None
    assert get("t").title == "first"


def test_a_claim_starts_the_task_for_its_owner(add: Add) -> None:
    add("t")
    task = moves.claim("t", "me", LATER)
    assert task is not None
    assert (task.status, task.owner, task.started_at, task.rev) == (Status.RUNNING, "me", LATER, 2)
    assert moves.claim("t", "me", LATER) is None
    assert moves.claim("nothing", "me", LATER) is None


def test_many_threads_that_claim_get_it_once(records: Path, add: Add) -> None:
    for number in range(10):
        add(f"t{number}")
    with ThreadPoolExecutor(8) as pool:
        jobs = [
            pool.submit(in_thread, lambda n=number, w=who: moves.claim(f"t{n}", f"w{w}", NOW))
            for number in range(10) for who in range(8)
        ]  # fmt: skip
        won = [task for job in jobs if (task := job.result())]
    assert sorted(task.id for task in won) == [f"t{number}" for number in range(10)]
    assert all(get(task.id).owner == task.owner for task in won)


CLAIM = """
import sys
from datetime import datetime, UTC
from pathlib import Path
from worker import moves, schema
schema.open_database(Path(sys.argv[1]))
for n in range(40):
    if moves.claim(f"t{n}", sys.argv[2], datetime(2026, 3, 1, 12, 0, tzinfo=UTC)):
        print(f"t{n}")
"""


def test_many_processes_that_claim_get_it_once_and_every_change_has_its_own_number(
    records: Path, add: Add
) -> None:
    for number in range(40):
        add(f"t{number}")
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(records), f"w{n}"], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for n in range(3)
    ]
    won = [line for one in workers for line in one.communicate(timeout=30)[0].split()]
    assert sorted(won) == sorted(f"t{number}" for number in range(40))
    assert sorted(task.rev for task in Task.select()) == list(range(41, 81))


def test_numbers_only_grow_whoever_writes(records: Path, add: Add) -> None:
    def insert(number: int) -> list[int]:
        seen = []
        for step in range(10):
            task = add(f"{number}-{step}")
            seen.append(task.rev)
            claimed = moves.claim(task.id, "me", NOW)
            assert claimed is not None
            seen.append(claimed.rev)
        return seen

    with ThreadPoolExecutor(4) as pool:
        found = [job.result() for job in [pool.submit(in_thread, lambda n=n: insert(n)) for n in range(4)]]
    assert all(seen == sorted(set(seen)) for seen in found)
    everything = sorted(rev for seen in found for rev in seen)
    assert everything == list(range(1, 81)), "no number was given out twice"


def test_a_task_whose_time_has_passed_is_not_started(add: Add) -> None:
    add("t", expires_at=NOW)
    assert moves.claim("t", "me", NOW) is None
    task = get("t")
    assert (task.status, task.reason, task.completed_at, task.started_at) == (
        Status.FAILED,
        Reason.EXPIRED,
        NOW,
        None,
    )
    assert task.error


def test_a_ring_for_a_task_that_is_renewed_meanwhile_does_not_expire_it(
    add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(add, Status.FAILED)
    real = moves._move

    def between(*args: Any) -> Task | None:
        moved = real(*args)
        monkeypatch.setattr(moves, "_move", real)
        assert moves.renew(get("t"), Status.PENDING, expires_at=LATER) is not None
        return moved

    monkeypatch.setattr(moves, "_move", between)
    assert moves.claim("t", "me", NOW) is None
    assert get("t").status == Status.PENDING


def test_only_the_owner_of_this_attempt_ends_it(add: Add) -> None:
    add("t")
    task = moves.claim("t", "me", NOW)
    assert task is not None
    stranger = get("t")
    stranger.owner = "other"
    assert moves.finish(stranger, Status.COMPLETED, LATER) is None
    earlier = get("t")
    earlier.attempt = 7
    assert moves.finish(earlier, Status.COMPLETED, LATER) is None
    ended = moves.finish(task, Status.FAILED, LATER, reason=Reason.EXIT_STATUS, error="no", output_data="{}")
    assert ended is not None
    assert (ended.status, ended.reason, ended.error, ended.owner) == (
        Status.FAILED,
        Reason.EXIT_STATUS,
        "no",
        None,
    )
    assert moves.finish(task, Status.COMPLETED, LATER) is None
    assert get("t").status == Status.FAILED


def test_a_worker_that_comes_late_cannot_undo_a_recovery(add: Add) -> None:
    add("t")
    task = moves.claim("t", "me", NOW)
    assert task is not None
    moves.interrupt_running(LATER)
    renewed = moves.renew(get("t"), Status.PENDING, expires_at=LATER + HOUR)
    assert renewed is not None
    assert moves.claim("t", "me", LATER) is not None
    assert moves.finish(task, Status.COMPLETED, LATER) is None
    assert (get("t").status, get("t").attempt) == (Status.RUNNING, 2)


@pytest.mark.parametrize("target", Status)
@pytest.mark.parametrize("source", Status)
def test_a_move_happens_exactly_when_the_table_allows_it(add: Add, source: Status, target: Status) -> None:
    before = put(add, source)
    moved = moves._move("t", target, {}, "TRUE")
    assert (moved is not None) == (target in MOVES[source])
    assert get("t").status == (target if moved else source)
    assert get("t").rev == (before.rev + 1 if moved else before.rev)


def test_every_running_task_is_interrupted_and_no_other(add: Add) -> None:
    for number in range(60):
        put(add, Status.RUNNING if number % 2 else Status.PENDING, f"t{number}")
    put(add, Status.COMPLETED, "done")
    ended = moves.interrupt_running(LATER)
    assert len(ended) == 30
    assert {task.reason for task in ended} == {Reason.INTERRUPTED}
    assert {task.completed_at for task in ended} == {LATER}
    assert Task.select().where(Task.status == Status.RUNNING).count() == 0
    assert Task.select().where(Task.status == Status.PENDING).count() == 30
    assert get("done").status == Status.COMPLETED
    assert moves.interrupt_running(LATER) == []


def test_what_was_written_down_for_the_case_is_there_when_a_worker_dies(add: Add) -> None:
    for name in ("dies", "ends"):
        add(name)
    dies, ends = (moves.claim(name, "me", NOW) for name in ("dies", "ends"))
    assert dies is not None
    assert ends is not None
    for task in (dies, ends):
        moves.keep(task, '{"session_id": "x"}')
    moves.finish(ends, Status.COMPLETED, NOW, output_data='{"answer": "y"}')
    moves.keep(ends, '{"session_id": "late"}')
    moves.interrupt_running(NOW)
    moves.keep(dies, '{"session_id": "late"}')
    assert (get("dies").reason, get("dies").output_data) == (Reason.INTERRUPTED, '{"session_id": "x"}')
    assert get("ends").output_data == '{"answer": "y"}'


def test_running_again_keeps_what_was_and_begins_anew(add: Add) -> None:
    add("t")
    task = moves.claim("t", "me", NOW)
    assert task is not None
    moves.finish(
        task, Status.FAILED, LATER, reason=Reason.EXIT_STATUS, error="no", output_data='{"returncode": 1}'
    )
    renewed = moves.renew(get("t"), Status.PENDING, expires_at=LATER + HOUR)
    assert renewed is not None
    assert (renewed.status, renewed.attempt, renewed.expires_at) == (
        Status.PENDING,
        2,
        LATER + HOUR,
    )
    assert (renewed.reason, renewed.error, renewed.output_data) == (None, None, None)
    assert (renewed.started_at, renewed.completed_at, renewed.owner) == (None, None, None)
    (kept,) = Attempt.select()
    assert (kept.task_id, kept.attempt, kept.status, kept.reason) == ("t", 1, "failed", "exit_status")
    assert (kept.error, kept.output_data, kept.started_at, kept.completed_at) == (
        "no",
        '{"returncode": 1}',
        NOW,
        LATER,
    )


def test_what_is_kept_is_what_stands_in_the_row_not_what_was_seen_before(add: Add) -> None:
    add("t")
    seen = moves.claim("t", "me", NOW)
    assert seen is not None
    moves.finish(seen, Status.FAILED, LATER, reason=Reason.EXIT_STATUS, error="no")
    assert moves.renew(seen, Status.PENDING, expires_at=LATER + HOUR) is not None
    (kept,) = Attempt.select()
    assert (kept.status, kept.error, kept.completed_at) == ("failed", "no", LATER)


def test_two_taps_on_run_again_make_one_attempt(records: Path, add: Add) -> None:
    task = put(add, Status.FAILED)
    with ThreadPoolExecutor(4) as pool:
        jobs = [
            pool.submit(in_thread, lambda: moves.renew(task, Status.PENDING, expires_at=LATER + HOUR))
            for _ in range(8)
        ]
        renewed = [one for job in jobs if (one := job.result())]
    assert [one.attempt for one in renewed] == [2]
    assert Attempt.select().count() == 1


@pytest.mark.parametrize(
    "status", [Status.PENDING, Status.RUNNING, Status.COMPLETED, Status.AWAITING_APPROVAL]
)
def test_only_what_ended_badly_runs_again(add: Add, status: Status) -> None:
    # Above all not what waits for an approval: "run again" is no way round it.
    assert moves.renew(put(add, status), Status.PENDING, expires_at=LATER + HOUR) is None
    assert get("t").status == status
    assert Attempt.select().count() == 0


def test_an_event_is_kept_once(records: Path) -> None:
    for text in ("first", "second"):
        moves.keep_event(delivery_id="d", event="note", caller="phone", payload=text, received_at=NOW)
    (event,) = Event.select()
    assert (event.payload, event.received_at) == ("first", NOW)


def test_news_are_reported_until_the_relay_has_them(add: Add) -> None:
    add("a")
    add("b")
    assert [task.id for task in models.unreported(10)] == ["a", "b"]
    moves.mark_reported([("a", 1)])
    assert [task.id for task in models.unreported(10)] == ["b"]
    moves.claim("a", "me", NOW)
    assert [task.id for task in models.unreported(10)] == ["b", "a"]
    moves.mark_reported([("a", 1)])
    assert [task.id for task in models.unreported(1)] == ["b"]
    moves.mark_reported([("b", 2)])
    moves.mark_reported([("a", 3)])
    moves.mark_reported([("a", 1)])
    assert models.unreported(10) == []
