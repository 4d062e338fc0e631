"""A person says yes or no first: to exactly what is shown, once, and in time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from relay.protocol import DEFAULT_TTL_S, Command, Reason, Status
from tests import door
from tests.chain import MACHINE_KEY
from tests.worker.conftest import NOW
from worker import models, moves
from worker.inbox import CannotApprove, Inbox
from worker.models import Task
from worker.policy_file import PolicyFile
from worker.redact import Redactor
from worker.reporter import Reporter
from worker.runner import CHANGED, Runner
from worker.settings import Settings
from worker.tasks import Queue

MINUTE = timedelta(minutes=1)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def careful(policy_path: Path) -> Path:
    """A policy that asks before anything but reads."""
    policy_path.write_text(policy_path.read_text() + '[approval]\nrequire = ["shell.full"]\n')
    return policy_path


@pytest.fixture
def desk(records: Path, queue: Queue, policy_path: Path, clock: Clock) -> Inbox:
    return Inbox(queue, PolicyFile(policy_path), clock)


@pytest.fixture
def runner(records: Path, policy_path: Path, clock: Clock) -> Runner:
    reporter = Reporter(Settings.read({"MACHINE_KEY": MACHINE_KEY}))
    return Runner(PolicyFile(policy_path), reporter, "approval-test", Redactor(()), clock)


def ask(desk: Inbox, command: str = "echo done", *, age_s: float = 0.0) -> Task:
    asked = Command(task_id="t", action_type="shell", params={"command": command})
    door.ask(desk, asked, expires_in=DEFAULT_TTL_S - age_s)
    return get()


def get() -> Task:
    task = models.get("t")
    assert task is not None
    return task


def print_of(task: Task) -> str:
    assert task.fingerprint
    return task.fingerprint


def test_what_the_policy_lists_waits_and_shows_what_would_run(
    careful: Path, desk: Inbox, runner: Runner, project: Path
) -> None:
    task = ask(desk, "rm -rf build")
    assert (task.status, task.preview, task.directory) == ("awaiting_approval", "rm -rf build", str(project))
    assert (task.scope, task.approval) == ("shell.full", "shell.full always needs your OK")
    runner.run("t")
    assert (get().status, get().started_at) == ("awaiting_approval", None)


def test_a_yes_lets_it_run_once_and_run_again_asks_again(careful: Path, desk: Inbox, runner: Runner) -> None:
    task = ask(desk, "exit 1")
    desk.approve("t", print_of(task))
    assert get().status == "pending"
    runner.run("t")
    assert (get().status, get().reason) == ("failed", "exit_status")
    desk.retry("t")
    assert (get().status, get().attempt, get().approved) == ("awaiting_approval", 2, None)
    desk.decline("t")
    for late in (lambda: desk.approve("t", print_of(task)), lambda: desk.decline("t")):
        with pytest.raises(CannotApprove, match="does not wait for your OK any more: it has failed"):
            late()


def test_a_no_ends_it_and_nothing_was_run(careful: Path, desk: Inbox, runner: Runner, tmp_path: Path) -> None:
    ask(desk, f"touch {tmp_path}/ran")
    desk.decline("t")
    task = get()
    assert (task.status, task.reason) == (Status.FAILED, Reason.REJECTED)
    assert "declined" in (task.error or "")
    runner.run("t")
    assert not (tmp_path / "ran").exists()


def test_what_git_could_destroy_waits_with_the_very_words_that_git_would_get(
    desk: Inbox, runner: Runner, project: Path
) -> None:
    (project / "note.txt").write_text("not committed\n")
    asked = Command(task_id="t", action_type="git", params={"command": "git reset --hard"})
    door.ask(desk, asked)
    task = get()
    assert (task.status, task.scope) == ("awaiting_approval", "git.approval")
    assert task.approval == "git that may publish or destroy work always needs your OK"
    assert task.preview.startswith("git reset ")
    runner.run("t")
    assert (project / "note.txt").read_text() == "not committed\n"
    desk.approve("t", print_of(task))
    runner.run("t")
    assert (get().status, (project / "note.txt").read_text()) == ("completed", "one\n")


def test_no_answer_is_a_no(careful: Path, desk: Inbox, clock: Clock) -> None:
    task = ask(desk)
    assert task.expires_at == NOW + timedelta(hours=1)
    assert moves.lapse(NOW, NOW + 59 * MINUTE) == []
    clock.now = NOW + 61 * MINUTE
    with pytest.raises(CannotApprove, match="lapsed"):
        desk.approve("t", print_of(task))
    assert [one.id for one in moves.lapse(clock.now, clock.now)] == ["t"]
    assert (get().status, get().reason) == ("failed", "expired")


def test_a_yes_to_something_else_counts_for_nothing(careful: Path, desk: Inbox) -> None:
    ask(desk)
    with pytest.raises(CannotApprove, match="not what you were shown"):
        desk.approve("t", "0" * 64)
    with pytest.raises(KeyError):
        desk.approve("nobody", "0" * 64)
    assert get().status == "awaiting_approval"


def test_what_changed_after_the_yes_is_not_run(
    careful: Path, desk: Inbox, runner: Runner, project: Path, tmp_path: Path
) -> None:
    inner = project / "work"
    inner.symlink_to(project / "docs")
    asked = Command(task_id="t", action_type="shell", params={"command": "touch ran", "working_dir": "work"})
    door.ask(desk, asked)
    desk.approve("t", print_of(get()))
    inner.unlink()
    (project / "other").mkdir()
    inner.symlink_to(project / "other")
    runner.run("t")
    assert (get().status, get().reason, get().error) == ("failed", "rejected", CHANGED)
    assert list(project.rglob("ran")) == []


def test_a_policy_that_became_stricter_asks_before_the_start(
    policy_path: Path, desk: Inbox, runner: Runner
) -> None:
    assert ask(desk).status == "pending"
    policy_path.write_text(policy_path.read_text() + '[approval]\nrequire = ["shell.full"]\nexpire_s = 60\n')
    runner.run("t")
    task = get()
    assert (task.status, task.approval) == ("awaiting_approval", "shell.full always needs your OK")
    assert task.expires_at == NOW + MINUTE
    desk.approve("t", print_of(task))
    runner.run("t")
    assert get().status == "completed"


@pytest.mark.parametrize(("age_s", "status"), [(0, "pending"), (599, "pending"), (700, "awaiting_approval")])
def test_what_was_said_long_ago_is_asked_about_when_it_arrives(
    desk: Inbox, age_s: float, status: str
) -> None:
    assert ask(desk, age_s=age_s).status == status


def test_what_grew_old_in_the_queue_is_asked_about_when_it_would_start(
    desk: Inbox, runner: Runner, clock: Clock
) -> None:
    ask(desk, age_s=300)
    clock.now = NOW + 6 * MINUTE
    runner.run("t")
    task = get()
    assert task.status == "awaiting_approval"
    assert "11 minutes ago" in (task.approval or "")
    # The yes makes it young again.
    desk.approve("t", print_of(task))
    clock.now += 20 * MINUTE
    runner.run("t")
    assert get().status == "completed"


def test_what_came_too_late_is_over_and_not_asked_about(
    careful: Path, desk: Inbox, runner: Runner, clock: Clock
) -> None:
    careful.write_text(careful.read_text().replace('["shell.full"]', "[]"))
    asked = Command(task_id="t", action_type="shell", params={"command": "ls"}, ttl=60)
    door.ask(desk, asked, expires_in=60)
    clock.now += 15 * MINUTE  # So late that it would be asked about, were it not over.
    runner.run("t")
    assert (get().status, get().reason) == ("failed", "expired")


def test_a_yes_is_not_good_for_longer_than_the_question_was(
    careful: Path, desk: Inbox, runner: Runner, clock: Clock, tmp_path: Path
) -> None:
    task = ask(desk, f"touch {tmp_path}/ran")
    desk.approve("t", print_of(task))
    # The lid was closed before it began.
    clock.now += 61 * MINUTE
    runner.run("t")
    assert (get().status, get().reason) == ("failed", "expired")
    assert not (tmp_path / "ran").exists()


def test_with_a_broken_policy_nobody_can_say_yes(careful: Path, desk: Inbox) -> None:
    task = ask(desk)
    careful.write_text("version = 2")
    with pytest.raises(CannotApprove, match="nothing is allowed until it is put right"):
        desk.approve("t", print_of(task))
    assert get().status == "awaiting_approval"


def test_a_read_never_grows_old(desk: Inbox, runner: Runner, clock: Clock) -> None:
    asked = Command(task_id="t", action_type="git", params={"command": "git status"})
    door.ask(desk, asked, expires_in=DEFAULT_TTL_S - 7_000)
    clock.now = NOW + 60 * MINUTE
    runner.run("t")
    assert get().status == "completed"


@pytest.mark.parametrize("event", ["task_approve", "task_decline", "approve", "task_approval"])
def test_no_webhook_says_yes_or_no(careful: Path, desk: Inbox, event: str) -> None:
    task = ask(desk)
    data = {"task_id": "t", "attempt": 1, "fingerprint": task.fingerprint}
    door.hand_in(desk, door.webhook(event, {"type": event, "data": data}))
    assert get().status == "awaiting_approval"


def test_what_waits_for_a_yes_can_be_cancelled(careful: Path, desk: Inbox) -> None:
    ask(desk)
    desk.cancel("t")
    assert get().status == "cancelled"


def test_more_than_the_policy_lets_wait_is_refused(
    policy_path: Path, desk: Inbox, accept: Callable[..., Task]
) -> None:
    policy_path.write_text(policy_path.read_text() + "[limits]\nmax_waiting = 2\n")
    assert [accept(name).status for name in ("a", "b", "c")] == ["pending", "pending", "failed"]
    refused = models.get("c")
    assert refused is not None
    assert "2 tasks wait already" in (refused.error or "")


def test_a_timeout_above_the_owners_is_refused(policy_path: Path, accept: Callable[..., Task]) -> None:
    policy_path.write_text(policy_path.read_text() + "[limits]\nmax_timeout_s = 60\n")
    assert accept("a", command="true", timeout=60).status == "pending"
    refused = accept("b", command="true", timeout=61)
    assert "timeout of 61 seconds is too long; policy.toml allows 60" in (refused.error or "")
