"""What a running task asks its owner: one question, one answer, and only while it is wanted."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from relay.protocol import Status
from tests.worker.conftest import NOW
from worker import asking, models, moves, questions, recovery
from worker.actions.base import Answer, Question, Request
from worker.asking import Asker
from worker.inbox import CannotApprove, Inbox
from worker.models import Task
from worker.redact import Redactor
from worker.reporter import report_of

WRITE = Request("Write", "Write made.txt", {"file_path": "made.txt", "content": "x\n"}, "It is new")


class Clock:
    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "LOOK_S", 0.0)


@pytest.fixture
def task(accept: Callable[..., Task]) -> Task:
    accept("t")
    running = moves.claim("t", "me", NOW)
    assert running is not None
    return running


@pytest.fixture
def ask(task: Task, clock: Clock) -> Callable[..., Question]:
    asker = Asker(task, Redactor(["hush-this-is-secret"]), clock, clock, patience_s=300)
    return lambda request=WRITE: asker.ask(request)


def row() -> questions.Question:
    return questions.Question.get()


def say(inbox: Inbox, *, is_allowed: bool = True, task_id: str = "t", **more: object) -> None:
    given = {"number": row().id, "fingerprint": row().fingerprint, **more}
    inbox.answer(task_id, given["number"], given["fingerprint"], is_allowed=is_allowed)  # type: ignore[arg-type]


def current() -> Task:
    found = models.get("t")
    assert found is not None
    return found


@pytest.mark.parametrize(("is_allowed", "word"), [(True, Answer.YES), (False, Answer.NO)])
def test_one_answer_counts_once(
    ask: Callable[..., Question], inbox: Inbox, task: Task, *, is_allowed: bool, word: Answer
) -> None:
    question = ask()
    assert question.answer() is None
    assert [one.line for one in questions.open_in(current())] == ["Write made.txt"]
    assert current().rev > task.rev, "pages and relay hear of it"
    say(inbox, is_allowed=is_allowed)
    assert questions.open_in(current()) == []
    with pytest.raises(CannotApprove, match="does not wait for this answer any more"):
        say(inbox, is_allowed=not is_allowed)
    assert (question.answer(), question.answer()) == (word, word)


def test_an_answer_is_for_exactly_one_question(ask: Callable[..., Question], inbox: Inbox) -> None:
    question = ask()
    other = ask(Request("Write", "Write made.txt", {"file_path": "made.txt", "content": "y\n"}))
    prints = {one.fingerprint for one in questions.open_in(current())}
    assert len(prints) == 2
    for wrong in (*prints - {row().fingerprint}, "", "0" * 64):
        with pytest.raises(CannotApprove):
            say(inbox, fingerprint=wrong)
    with pytest.raises(CannotApprove):
        say(inbox, number=999)
    with pytest.raises(KeyError):
        say(inbox, task_id="u")
    say(inbox)
    assert (question.answer(), other.answer()) == (Answer.YES, None)


def test_the_answer_for_one_task_is_none_for_another(
    ask: Callable[..., Question], inbox: Inbox, accept: Callable[..., Task]
) -> None:
    question = ask()
    accept("u")
    moves.claim("u", "me", NOW)
    with pytest.raises(CannotApprove):
        say(inbox, task_id="u")
    assert question.answer() is None


def test_no_answer_in_five_minutes_is_a_no_and_a_later_yes_finds_it_closed(
    ask: Callable[..., Question], inbox: Inbox, clock: Clock, policy_path: object
) -> None:
    late = Inbox(inbox._queue, inbox._decide._policy, clock)
    question = ask()
    clock.time = NOW + timedelta(seconds=299.9)
    assert question.answer() is None
    clock.time = NOW + timedelta(seconds=300)
    with pytest.raises(CannotApprove):
        say(late)
    assert question.answer() is Answer.NONE
    assert questions.open_in(current()) == []


def test_a_yes_at_the_last_moment_stands_though_it_is_read_later(
    ask: Callable[..., Question], inbox: Inbox, clock: Clock
) -> None:
    question = ask()
    say(inbox)
    clock.time = NOW + timedelta(seconds=600)
    assert question.answer() is Answer.YES


def test_what_is_withdrawn_cannot_be_allowed(ask: Callable[..., Question], inbox: Inbox) -> None:
    ask().withdraw()
    with pytest.raises(CannotApprove):
        say(inbox)


@pytest.mark.parametrize("how", ["ended", "stopping", "worker died", "runs again"])
def test_when_its_attempt_is_over_nobody_is_asked_any_more(
    ask: Callable[..., Question], inbox: Inbox, task: Task, how: str
) -> None:
    ask()
    if how == "ended":
        moves.finish(task, Status.COMPLETED, NOW)
    elif how == "stopping":
        inbox.cancel("t")
    else:
        moves.interrupt_running(NOW)
    if how == "runs again":
        inbox.retry("t")
        moves.claim("t", "me", NOW)
    with pytest.raises(CannotApprove):
        say(inbox)
    if how != "stopping":
        assert questions.open_in(current()) == []
    assert row().answer is None


def test_no_secret_and_nothing_odd_is_written_down(ask: Callable[..., Question], task: Task) -> None:
    params = {"command": "echo hush-this-is-secret \ud800 \x00"}
    ask(Request("Bash", "Bash echo hush-this-is-secret \ud800", params))
    kept = row()
    assert "hush-this-is-secret" not in kept.line + kept.params
    assert set(json.loads(kept.params)) == {"command"}
    assert kept.fingerprint == asking._fingerprint(task, Request("Bash", "", params))


def test_nothing_that_would_be_done_is_hidden_behind_the_look_of_a_secret(
    ask: Callable[..., Question],
) -> None:
    command = "PASSWORD=abc;rm${IFS}-rf${IFS}~ make"
    assert "rm" not in Redactor([]).clean(command)
    ask(Request("Bash", command, {"command": command}, ""))
    assert json.loads(row().params) == {"command": command}
    assert "rm" not in row().line


def test_where_it_cannot_be_written_down_the_answer_is_no(
    ask: Callable[..., Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    models.database.execute_sql("DROP TABLE questions")
    question = ask()
    question.withdraw()
    assert question.answer() is Answer.NONE


def test_the_relay_hears_what_it_asks_and_then_that_it_goes_on(
    ask: Callable[..., Question], inbox: Inbox, task: Task
) -> None:
    assert report_of(current()).headline is None
    ask()
    report = report_of(current())
    assert (report.status, report.headline) == (Status.RUNNING, "Write made.txt")
    say(inbox)
    assert report_of(current()).headline is None
    assert report_of(current()).rev > report.rev


def test_questions_are_forgotten_with_their_task(ask: Callable[..., Question], task: Task) -> None:
    ask()
    ended = moves.finish(task, Status.COMPLETED, NOW)
    assert ended is not None
    moves.mark_reported([("t", ended.rev)])
    recovery.forget(NOW + timedelta(days=1))
    assert questions.Question.select().count() == 0
