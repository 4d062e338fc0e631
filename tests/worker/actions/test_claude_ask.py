"""claude_code in mode ask: what it may not do unasked is put to a person, and what they say is done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relay.protocol import Status
from tests.messages_api import Answer as Says
from tests.messages_api import Api, says, uses
from worker.actions.base import Answer, Request
from worker.actions.claude_code import requests

Ask = Callable[..., Any]
Fake = Callable[..., Path]


class Person:
    """Says to each request what `words` has next: None, and after the last one, is nothing at all."""

    def __init__(self, *words: Answer | None) -> None:
        self.words = list(words)
        self.asked: list[Request] = []
        self.withdrawn: list[str] = []

    def ask(self, request: Request) -> Person.Question:
        self.asked.append(request)
        return Person.Question(self, request, self.words.pop(0) if self.words else None)

    class Question:
        def __init__(self, person: Person, request: Request, word: Answer | None) -> None:
            self._person, self._request, self._word = person, request, word

        def answer(self) -> Answer | None:
            return self._word

        def withdraw(self) -> None:
            self._person.withdrawn.append(self._request.line)


def log(tmp_path: Path) -> str:
    path = tmp_path / "log"
    return path.read_text() if path.exists() else ""


@pytest.mark.usefixtures("claude")
def test_what_is_allowed_is_done_and_what_only_reads_is_not_asked(
    ask: Ask, api: Api, project: Path, tmp_path: Path
) -> None:
    target = str(project / "made.txt")
    two = (
        ("Write", {"file_path": target, "content": "a\n"}),
        ("Bash", {"command": "cp made.txt x; ls | tee y"}),
    )
    first = ("Write", {"file_path": str(project / "first.txt"), "content": "b\n"})
    api.plays(
        uses("Bash", command="git status --short"), uses(first[0], **first[1]), Says(tools=two), says("Done.")
    )
    person = Person(Answer.YES, Answer.YES, Answer.YES)
    done = ask(mode="ask", person=person)
    assert (done.status, done.output_data["denied"]) == (Status.COMPLETED, [])
    assert [(one.tool, one.params) for one in person.asked] == [first, *two]
    assert done.output_data["files_changed"] == ["first.txt", "made.txt", "x", "y"]
    waits, allowed = "  ? waits for Allow in the viewer on this machine: Write", "  ✓ allowed: Write"
    printed = log(tmp_path)
    assert f"{waits} first.txt\n{allowed} first.txt\n" in printed
    # Of two in one message the second may be asked before the first has its answer.
    assert 0 < printed.find(f"{waits} made.txt\n") < printed.find(f"{allowed} made.txt\n")


@pytest.mark.usefixtures("claude")
def test_what_is_denied_or_not_answered_is_not_done_and_the_work_goes_on(
    ask: Ask, api: Api, project: Path, tmp_path: Path
) -> None:
    api.plays(
        uses("Write", file_path=str(project / "made.txt"), content="x"),
        uses("Bash", command="touch made.txt"),
        uses("Write", file_path=str(tmp_path / "outside.txt"), content="x"),
        says("I could not."),
    )
    person = Person(Answer.NO, Answer.NONE, Answer.NO)
    done = ask(mode="ask", person=person)
    assert (done.status, done.output_data["files_changed"]) == (Status.COMPLETED, [])
    assert done.output_data["denied"] == [
        "Write made.txt", "Bash touch made.txt", f"Write {tmp_path}/outside.txt",
    ]  # fmt: skip
    assert "The owner of this machine said no." in api.texts()
    assert "Nobody answered in time" in api.texts()
    assert "  ✗ nobody answered, which is a no: Bash touch made.txt\n" in log(tmp_path)
    assert person.asked[2].why == "Path is outside allowed working directories"


@pytest.mark.usefixtures("claude")
def test_it_can_be_stopped_while_it_asks(ask: Ask, api: Api, project: Path, tmp_path: Path) -> None:
    api.plays(uses("Write", file_path=str(project / "made.txt"), content="x"), says("Done."))
    person = Person()
    done = ask(mode="ask", person=person, stop=lambda: "waits for Allow" in log(tmp_path))
    assert (done.status, done.output_data["ended"]) == (Status.CANCELLED, "stopped")
    assert person.withdrawn == ["Write made.txt"]
    assert not (project / "made.txt").exists()


@pytest.mark.usefixtures("claude")
def test_its_owners_settings_cannot_make_it_ask_less(ask: Ask, api: Api, home: Path, project: Path) -> None:
    (home / "claude").mkdir()
    settings = {"permissions": {"defaultMode": "acceptEdits"}}
    (home / "claude" / "settings.json").write_text(json.dumps(settings))
    api.plays(uses("Write", file_path=str(project / "made.txt"), content="x"), says("Done."))
    person = Person(Answer.NO)
    ask(mode="ask", person=person)
    assert [one.tool for one in person.asked] == ["Write"]


ASKS = """
def wants(number, tool, **params):
    request = {"subtype": "can_use_tool", "tool_name": tool, "input": params}
    say(type="control_request", request_id=number, request=request)
def hears():
    keep("heard", sys.stdin.readline()); return json.load(open(os.path.join(HERE, "heard")))["response"]
"""


@pytest.mark.parametrize("content", ["'y' * 2_000", "eval('[' * 90 + ']' * 90)"], ids=["long", "deep"])
def test_where_nobody_can_be_asked_and_for_what_cannot_be_shown_the_answer_is_no(
    fake: Fake, ask: Ask, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setattr(requests, "MAX_ASKED_CHARS", 1_000)
    fake(
        f"{ASKS}\nwants('a', 'Write', file_path='x', content={content})\nsaid = hears()\n"
        "result(said['request_id'] + said['response']['behavior'] + said['response']['message'])"
    )
    assert "nobody here who could be asked" in ask(mode="ask").output_data["answer"]
    person = Person(Answer.YES)
    done = ask(mode="ask", person=person)
    assert done.output_data["answer"].startswith("adenyThis has more than")
    assert person.asked == []


def test_what_it_asked_when_it_died_is_not_asked_any_more(fake: Fake, ask: Ask) -> None:
    fake(f"{ASKS}\nwants('a', 'Write', file_path='x')\nos.kill(os.getpid(), 9)")
    person = Person()
    done = ask(mode="ask", person=person)
    assert (done.status, person.withdrawn) == (Status.FAILED, ["Write x"])


def test_a_long_prompt_and_a_long_yes_get_through(fake: Fake, ask: Ask) -> None:
    program = fake(
        f"{ASKS}\nkeep('first', str(len(open(os.path.join(HERE, 'stdin')).read())))\n"
        "wants('a', 'Write', file_path='x', content='é' * 40_000)\nsaid = hears()\n"
        "result(str(len(said['response']['updatedInput']['content'])))"
    )
    done = ask("z" * 200_000, mode="ask", person=Person(Answer.YES))
    assert done.output_data["answer"] == "40000"
    assert int((program.parent / "first").read_text()) > 200_000


def test_what_it_takes_back_is_not_asked_any_more_and_what_it_reads_ends_with_its_result(
    fake: Fake, ask: Ask
) -> None:
    fake(
        f"{ASKS}\nwants('a', 'Write', file_path='x')\nwants('b', 'Bash', command='ls')\n"
        "say(type='control_request', request_id='c', request={'subtype': 'what_is_new'})\n"
        "say(type='control_cancel_request', request_id='a')\nsaid = hears()\nresult(said['request_id'])\n"
        "sys.exit(3 if sys.stdin.read() == '' else 4)"
    )
    person = Person(None, Answer.YES)
    done = ask(mode="ask", person=person)
    assert (done.output_data["answer"], done.output_data["returncode"]) == ("b", 3)
    assert person.withdrawn == ["Write x"]
