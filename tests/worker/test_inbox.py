"""The one door into the machine: row first, ring second."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.protocol import DEFAULT_TTL_S, Command, Reason, Status
from tests.door import ask, hand_in, webhook
from tests.worker.conftest import NOW
from worker import durability, models, moves
from worker.inbox import CannotOpen, CannotRetry, Inbox, Unacceptable, Unavailable, open_inbox
from worker.models import Attempt, Event, Task
from worker.policy_file import PolicyFile
from worker.settings import Settings
from worker.tasks import Queue

Accept = Callable[..., Task]


def command(**data: Any) -> dict[str, Any]:
    own = {"task_id": "t1", "action_type": "shell", "params": {"command": "echo hi"}}
    return {"type": "task_command", "data": {**own, **data}}


def rings(queue: Queue) -> list[str]:
    """Whom the bell rings for, as the messages in the file say."""
    return [message.args[0] for message in queue._huey.pending()]


def test_a_command_becomes_a_row_and_a_ring(inbox: Inbox, queue: Queue) -> None:
    hand_in(inbox, webhook("task_command", command(title="Say hi")))
    task = models.get("t1")
    assert task is not None
    assert (task.status, task.action_type, task.title, task.caller) == ("pending", "shell", "Say hi", "phone")
    assert json.loads(task.input_data) == {"command": "echo hi"}
    assert (task.preview, task.attempt, task.created_at) == ("echo hi", 1, NOW)
    assert task.expires_at == NOW + timedelta(seconds=86_400)
    assert rings(queue) == ["t1"]


def test_the_row_is_committed_before_the_bell_rings(
    inbox: Inbox, records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def ring(_: object, task_id: str) -> None:
        outside = sqlite3.connect(records)
        seen.extend(outside.execute("SELECT id FROM tasks WHERE id = ?", (task_id,)).fetchall())
        outside.close()

    monkeypatch.setattr(Queue, "ring", ring)
    hand_in(inbox, webhook("task_command", command()))
    assert seen == [("t1",)]


def test_everything_is_on_disk_before_it_counts_as_taken(
    inbox: Inbox, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, list[str]]] = []
    sync = durability._sync_file

    def watched(file: int) -> None:
        synced.append((os.fstat(file).st_ino, rings(queue)))
        sync(file)

    monkeypatch.setattr(durability, "_sync_file", watched)
    inbox.accept([webhook("task_command", command(task_id=one), delivery_id=one) for one in ("t1", "t2")])
    hand_in(inbox, webhook("task_command", command(task_id="t3")))
    journal = Path(f"{models.database.database}-wal").stat().st_ino
    assert synced == [(journal, ["t1", "t2"]), (journal, ["t1", "t2", "t3"])], "once each, and last"
    assert models.database.pragma("synchronous") == 2, "FULL, for whatever else is committed"


def test_what_is_not_surely_on_disk_has_to_come_again(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(durability, "_sync_file", lambda _: os.close(-1))
        with pytest.raises(Unavailable, match="Bad file descriptor"):
            hand_in(inbox, webhook("task_command", command()))
    hand_in(inbox, webhook("task_command", command()))
    assert Task.select().count() == 1
    assert models.database.pragma("synchronous") == 2, "FULL"


def test_records_behind_a_link_are_waited_for_where_they_are(tmp_path: Path, policy_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "linked.db").symlink_to(tmp_path / "elsewhere" / "records.db")
    settings = Settings.read(
        {
            "MACHINE_KEY": "fake-machine-key-0000", "SQLITE_PATH": str(tmp_path / "linked.db"),
            "QUEUE_URL": str(tmp_path / "q.db"), "POLICY_PATH": str(policy_path),
        }
    )  # fmt: skip
    inbox = open_inbox(settings)
    try:
        hand_in(inbox, webhook("task_command", command()))
        assert models.get("t1") is not None
    finally:
        inbox._queue._huey.storage.close()
        models.database.close()


def test_the_same_command_again_changes_nothing_and_rings_again(inbox: Inbox, queue: Queue) -> None:
    hand_in(inbox, webhook("task_command", command()))
    first = models.get("t1")
    # The redelivery comes later, and has less time left: it is the same command all the same.
    hand_in(inbox, webhook("task_command", command(), attempt=2, expires_in=5.0))
    assert first is not None
    again = models.get("t1")
    assert again is not None
    assert vars(again)["__data__"] == vars(first)["__data__"]
    assert rings(queue) == ["t1", "t1"]
    assert Task.select().count() == 1


@pytest.mark.parametrize(
    "other", [{"params": {"command": "echo ho"}}, {"action_type": "git"}, {"title": "x"}, {"ttl": 60}]
)
def test_another_command_under_the_same_id_is_unacceptable(inbox: Inbox, other: dict[str, Any]) -> None:
    hand_in(inbox, webhook("task_command", command()))
    with pytest.raises(Unacceptable, match="'t1' was used before"):
        hand_in(inbox, webhook("task_command", command(**other)))
    assert Task.select().count() == 1


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"data": None},
        {"data": {}},
        {"data": {"task_id": "a b", "action_type": "x"}},
        command(more=1),
        command(ttl=-1),
    ],
)
def test_a_command_that_cannot_be_read_is_unacceptable(inbox: Inbox, payload: dict[str, Any]) -> None:
    with pytest.raises(Unacceptable, match="cannot be read") as why:
        hand_in(inbox, webhook("task_command", payload))
    assert len(str(why.value)) <= 4_000, "it must fit into a Nack"
    assert Task.select().count() == 0


def test_the_sentence_about_a_wild_command_still_fits_into_a_nack(inbox: Inbox) -> None:
    wild = command(**{f"field-{number}" * 50: 1 for number in range(500)})
    with pytest.raises(Unacceptable) as why:
        hand_in(inbox, webhook("task_command", wild))
    assert len(str(why.value)) <= 4_000


@pytest.mark.parametrize(
    ("action_type", "params", "word"),
    [
        ("dance", {"tune": "polka"}, "no action 'dance'"),
        ("shell", {"project": "garden"}, "either command or name is needed"),
        ("shell", {"comand": "x"}, "comand"),
        ("git", {"command": "git push --force"}, "git push cannot take '--force' here"),
        ("shell", {"command": "ls", "working_dir": "/"}, "no project"),
        ("claude_code", {"prompt": "x", "mode": "full"}, "does not allow claude.full"),
        ("shell", {"command": "ls", "project": "lawn"}, "no project 'lawn'"),
    ],
)  # fmt: skip
def test_what_may_not_run_is_recorded_as_rejected_and_told(
    accept: Accept, queue: Queue, action_type: str, params: dict[str, Any], word: str
) -> None:
    task = accept("t1", action_type, **params)
    assert (task.status, task.reason, task.completed_at) == (Status.FAILED, Reason.REJECTED, NOW)
    assert task.started_at is None
    assert word in str(task.error)
    assert rings(queue) == ["t1"], "the ring lets the reporter tell the relay"
    assert [one.id for one in models.unreported(5)] == ["t1"]


def test_a_broken_policy_rejects_everything_and_says_so(accept: Accept, policy_path: Path) -> None:
    policy_path.write_text("broken")
    assert "cannot be used" in str(accept("t1").error)
    policy_path.unlink()
    assert "nothing is allowed" in str(accept("t2").error)


def test_an_event_is_kept_and_never_run(inbox: Inbox, queue: Queue) -> None:
    hand_in(inbox, webhook("github.push", command(), caller="github"))
    hand_in(inbox, webhook("github.push", {"another": "text"}))
    hand_in(inbox, webhook("llm_conversation_insight", {"data": "ü😀"}, delivery_id="d-2"))
    assert Task.select().count() == 0
    assert rings(queue) == []
    events = list(Event.select().order_by(Event.delivery_id))
    assert [(one.event, one.caller) for one in events] == [
        ("github.push", "github"),
        ("llm_conversation_insight", "phone"),
    ]
    assert json.loads(events[0].payload) == command()
    assert json.loads(events[1].payload) == {"data": "ü😀"}


def test_records_that_cannot_be_written_now_are_not_the_deliverys_fault(inbox: Inbox, records: Path) -> None:
    models.database.pragma("busy_timeout", 20)
    other = sqlite3.connect(records, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        for one in (webhook("task_command", command()), webhook("note", {})):
            with pytest.raises(Unavailable, match="locked"):
                hand_in(inbox, one)
    finally:
        other.execute("ROLLBACK")
        other.close()
    hand_in(inbox, webhook("task_command", command()))
    assert models.get("t1") is not None


def test_a_queue_that_cannot_be_written_now_is_not_either(inbox: Inbox, tmp_path: Path, queue: Queue) -> None:
    queue._huey.storage.close()
    other = sqlite3.connect(tmp_path / "queue.db", isolation_level=None)
    other.execute("DROP TABLE task")
    with pytest.raises(Unavailable):
        hand_in(inbox, webhook("task_command", command()))
    other.close()
    # The row is there all the same, and a redelivery or the sweeper rings for it.
    assert models.get("t1") is not None


def test_a_command_whose_time_has_passed_is_recorded_and_expires_when_it_would_start(accept: Accept) -> None:
    accept("late", expires_in=-5)
    assert moves.claim("late", "me", NOW) is None
    task = models.get("late")
    assert task is not None
    assert task.reason == Reason.EXPIRED


def broken(task: Task) -> None:
    """The worker died while it ran."""
    assert moves.claim(task.id, "me", NOW)
    assert moves.interrupt_running(NOW)


def test_an_ended_task_runs_again(accept: Accept, inbox: Inbox, queue: Queue) -> None:
    broken(accept("t1"))
    queue.clear()
    renewed = inbox.retry("t1")
    assert (renewed.status, renewed.attempt, renewed.error) == (Status.PENDING, 2, None)
    assert renewed.expires_at == NOW + timedelta(seconds=DEFAULT_TTL_S)
    assert rings(queue) == ["t1"]
    assert [one.reason for one in Attempt.select()] == ["interrupted"]


def test_what_has_not_ended_badly_does_not_run_again(accept: Accept, inbox: Inbox, queue: Queue) -> None:
    with pytest.raises(KeyError):
        inbox.retry("nothing")
    accept("t1")
    queue.clear()
    with pytest.raises(CannotRetry, match="this one is pending"):
        inbox.retry("t1")
    task = moves.claim("t1", "me", NOW)
    assert task is not None
    with pytest.raises(CannotRetry, match="running"):
        inbox.retry("t1")
    moves.finish(task, Status.COMPLETED, NOW)
    with pytest.raises(CannotRetry, match="completed"):
        inbox.retry("t1")
    assert rings(queue) == []


def test_a_repeated_command_after_running_again_is_still_the_same(accept: Accept, inbox: Inbox) -> None:
    broken(accept("t1"))
    inbox.retry("t1")
    assert accept("t1").attempt == 2


def test_what_policy_forbids_today_does_not_run_again(
    accept: Accept, inbox: Inbox, policy_path: Path, project: Path
) -> None:
    broken(accept("t1"))
    policy_path.write_text(f'version = 1\n[projects.garden]\npath = "{project}"\n')
    with pytest.raises(CannotRetry, match=r"garden does not allow shell.full"):
        inbox.retry("t1")
    task = models.get("t1")
    assert task is not None
    assert (task.status, task.attempt) == (Status.FAILED, 1)


def test_ids_and_texts_of_every_kind_arrive_as_they_were(accept: Accept) -> None:
    text = "ü😀\n\t'\"\\ \u2028 end"
    for task_id in ("a:b", "...a", "x" * 128):
        accept(task_id, "shell", command=text)
        task = models.get(task_id)
        assert task is not None
        assert json.loads(task.input_data) == {"command": text}


def test_a_relay_that_asks_for_what_has_ended_here_hears_how_it_ended(inbox: Inbox) -> None:
    ask(inbox, Command(task_id="t1", action_type="shell", params={"command": "ls"}))
    running = moves.claim("t1", "me", NOW)
    assert running is not None
    ended = moves.finish(running, Status.COMPLETED, NOW)
    assert ended is not None
    moves.mark_reported([("t1", ended.rev)])
    assert models.unreported(5) == []
    # Its disk was lost, or it has forgotten the task long before we do.
    ask(inbox, Command(task_id="t1", action_type="shell", params={"command": "ls"}))
    assert [(task.id, task.status, task.rev) for task in models.unreported(5)] == [
        ("t1", "completed", ended.rev)
    ]


def test_the_digest_does_not_depend_on_how_long_the_caller_listened(inbox: Inbox) -> None:
    def once(**more: Any) -> Task:
        asked = Command(task_id="t1", action_type="shell", params={"command": "ls"}, **more)
        return ask(inbox, asked)

    assert once(sync=True).seq == once(sync=False).seq


def test_the_inbox_opens_records_and_queue_where_the_settings_say(tmp_path: Path, policy_path: Path) -> None:
    settings = Settings.read(
        {"MACHINE_KEY": "fake-machine-key-0000", "SQLITE_PATH": str(tmp_path / "a.db"),
         "QUEUE_URL": str(tmp_path / "q.db"), "POLICY_PATH": str(policy_path)}
    )  # fmt: skip
    inbox = open_inbox(settings)
    try:
        hand_in(inbox, webhook("task_command", command()))
        assert (tmp_path / "a.db").exists()
        assert rings(Queue(tmp_path / "q.db")) == ["t1"]
    finally:
        inbox._queue._huey.storage.close()
        models.database.close()


@pytest.mark.parametrize("broken", ["SQLITE_PATH", "QUEUE_URL"])
def test_records_or_queue_in_the_wrong_place_cannot_be_opened(tmp_path: Path, broken: str) -> None:
    own = {
        "MACHINE_KEY": "fake-machine-key-0000",
        "SQLITE_PATH": str(tmp_path / "a.db"),
        "QUEUE_URL": str(tmp_path / "q.db"),
    }
    with pytest.raises(CannotOpen, match="nowhere"):
        open_inbox(Settings.read({**own, broken: str(tmp_path / "nowhere" / "x.db")}))
    models.database.close()


def test_policy_files_are_watched_by_the_open_inbox(accept: Accept, policy_path: Path) -> None:
    assert accept("t1").status == "pending"
    policy_path.write_text(policy_path.read_text().replace('shell = "full"', 'shell = "off"'))
    assert "shell.full" in str(accept("t2").error)
    assert isinstance(PolicyFile(policy_path), PolicyFile)
