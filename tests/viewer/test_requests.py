"""What a running task asks its owner, on its page: all of it, with Allow and Deny that are forms."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient

from tests.viewer.machine import Machine
from worker import models, moves, questions

OWN = {"Origin": "http://localhost"}


def form_of(page: str, what: str) -> tuple[str, dict[str, str]]:
    """Where the first form with this button posts to, and what it sends."""
    found = re.search(rf'<form method="post" action="([^"]+/{what})">(.*?)</form>', page, re.DOTALL)
    assert found, what
    return found[1], dict(re.findall(r'name="([^"]+)" value="([^"]*)"', found[2]))


def test_all_of_it_is_shown_safely(client: FlaskClient, machine: Machine) -> None:
    task = machine.started(title="Mend it")
    content = "<script>alert(1)</script>\n" + "x" * 40_000 + " the end \u202e"
    machine.asks(task, "Write", {"file_path": "/a/<b>", "content": content, "depth": 2}, why="It is outside")
    page = client.get(f"/t/{task.id}").text
    assert "May it use Write now?" in page
    assert "<script>alert" not in page
    assert html.escape(content.replace("\u202e", "\N{REPLACEMENT CHARACTER}")) in page
    for words in ("/a/&lt;b&gt;", "It is outside", ">2</pre>", "Waits until", ">Stop<"):
        assert words in page
    assert "<title>Needs your OK \N{EN DASH} Mend it" in page
    the_list = client.get("/").text
    assert "Asks you: Write" in the_list
    assert '<a class="card asks' in the_list


@pytest.mark.parametrize(("button", "word"), [("allow", "yes"), ("deny", "no")])
def test_a_button_answers_the_question_that_it_belongs_to(
    client: FlaskClient, machine: Machine, button: str, word: str
) -> None:
    task = machine.started()
    first, second = (machine.asks(task, "Bash", {"command": one}) for one in ("make", "make install"))
    where, fields = form_of(client.get(f"/t/{task.id}").text, button)
    assert client.post(where, data=fields).status_code == 403
    assert client.post(where, data={**fields, "fingerprint": "x"}, headers=OWN).status_code == 409
    assert questions.Question.get_by_id(first).answer is None
    answer = client.post(where, data=fields, headers=OWN)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/t/{task.id}")
    assert questions.Question.get_by_id(first).answer == word
    assert questions.Question.get_by_id(second).answer is None
    again = client.post(where, data=fields, headers=OWN)
    assert again.status_code == 409
    assert "does not wait for this answer any more" in again.text


@pytest.mark.parametrize("number", ["", "x", "-1", "1.0", "²", "9" * 40])
def test_a_forged_number_is_a_400_with_one_sentence(
    client: FlaskClient, machine: Machine, number: str
) -> None:
    task = machine.started()
    answer = client.post(f"/t/{task.id}/allow", data={"question": number, "fingerprint": "x"}, headers=OWN)
    assert answer.status_code == 400
    assert "This says yes or no to nothing" in answer.text


def test_when_it_has_ended_nothing_is_asked(client: FlaskClient, machine: Machine) -> None:
    task = machine.started()
    machine.asks(task, "Bash", {"command": "make"})
    where, fields = form_of(client.get(f"/t/{task.id}").text, "allow")
    machine.end(machine.current(task.id))
    assert "May it use" not in client.get(f"/t/{task.id}").text
    assert client.post(where, data=fields, headers=OWN).status_code == 409


def test_a_poll_hears_of_a_question_and_of_its_answer(client: FlaskClient, machine: Machine) -> None:
    task = machine.started()
    seen = models.latest_rev()
    machine.asks(task, "Bash", {"command": "make"})
    assert client.get(f"/t/{task.id}/live?rev={seen}").json["rev"] > seen  # type: ignore[index]
    where, fields = form_of(client.get(f"/t/{task.id}").text, "allow")
    seen = models.latest_rev()
    client.post(where, data=fields, headers=OWN)
    assert client.get(f"/t/{task.id}/live?rev={seen}").json["rev"] > seen  # type: ignore[index]


def test_a_question_that_has_lapsed_is_answered_by_nobody(client: FlaskClient, machine: Machine) -> None:
    task = machine.started()
    machine.asks(task, "Bash", {"command": "make"}, lapses_at=datetime.now(UTC) - timedelta(days=1))
    where, fields = form_of(client.get(f"/t/{task.id}").text, "allow")
    assert client.post(where, data=fields, headers=OWN).status_code == 409


def test_what_asks_counts_as_what_needs_an_ok(client: FlaskClient, machine: Machine) -> None:
    waiting, running = machine.needs_ok(), machine.started(title="Work on")
    task = machine.started(title="Mend it")
    number = machine.asks(task, "Bash", {"command": "make"})
    page = client.get("/").text
    assert "<title>(2) Tasks" in page
    places = [page.index(f"/t/{one.id}") for one in (task, waiting, running)]
    assert places == sorted(places)
    for where in ("/?status=awaiting_approval", "/?status=awaiting_approval&action=shell&q=mend"):
        assert f"/t/{task.id}" in client.get(where).text
    only = client.get("/?status=running").text
    assert f"/t/{running.id}" in only
    assert f"/t/{task.id}" not in only
    moves.answer_of(number, "no")
    assert "<title>(1) Tasks" in client.get("/").text
    assert f"/t/{task.id}" in client.get("/?status=running&q=mend").text
