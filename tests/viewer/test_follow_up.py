""" "Ask a follow-up": an ended conversation goes on as a task of its own, with one form."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from relay.protocol import Status
from tests.viewer.machine import Machine
from worker import models, moves

OWN = {"Origin": "http://localhost"}
SESSION = "4033a5b0-1111-4111-8111-111111111111"


def conversation(machine: Machine, **params: Any) -> models.Task:
    result = {"answer": "It fails.", "session_id": SESSION, "headline": "It fails."}
    asked = {"prompt": "Why does it fail?", **params}
    return machine.ended(action_type="claude_code", params=asked, output_data=result, title="Why?")


def page_of(client: FlaskClient, task: models.Task) -> dict[str, str]:
    found = re.search(r'name="page" value="(\w+)"', client.get(f"/t/{task.id}").text)
    assert found
    return {"page": found[1]}


def follow_up(client: FlaskClient, task: models.Task, **form: str) -> Any:
    return client.post(f"/t/{task.id}/follow-up", data=form, headers=OWN)


def test_it_goes_on_with_the_session_in_the_same_project_and_mode(
    client: FlaskClient, machine: Machine
) -> None:
    task = conversation(machine, mode="edit", project="home", max_turns=7, session=SESSION, fork=True)
    answer = follow_up(client, task, **page_of(client, task), words=" Now also fix\nthe tests ")
    assert answer.status_code == 303
    following = machine.current(answer.headers["Location"].removeprefix("/t/"))
    assert json.loads(following.input_data) == {
        "prompt": "Now also fix\nthe tests", "mode": "edit", "project": "home", "max_turns": 7,
        "session": SESSION,
    }  # fmt: skip
    assert (following.status, following.title, following.caller) == (
        Status.PENDING, "Now also fix the tests", "viewer",
    )  # fmt: skip
    assert machine.current(task.id).attempt == 1
    # The relay was never told of it and would refuse every report.
    assert following.id not in [one.id for one in models.unreported(100)]
    machine.end(machine.start(following))
    assert following.id not in [one.id for one in models.unreported(100)]


def test_a_second_tap_asks_once_and_other_words_ask_again(client: FlaskClient, machine: Machine) -> None:
    task = conversation(machine)
    page = page_of(client, task)
    first, again = (follow_up(client, task, **page, words="Go on").headers["Location"] for _ in range(2))
    other = follow_up(client, task, **page, words="Stop there").headers["Location"]
    fresh = follow_up(client, task, **page_of(client, task), words="Go on").headers["Location"]
    assert first == again
    assert len({first, other, fresh}) == 3


def test_a_second_follow_up_waits_for_the_first(client: FlaskClient, machine: Machine) -> None:
    task = conversation(machine)
    page = page_of(client, task)
    first, second = (
        machine.current(follow_up(client, task, **page, words=words).headers["Location"].removeprefix("/t/"))
        for words in ("Go on", "And then?")
    )
    machine.start(first)
    waits = client.get(f"/t/{second.id}").text
    assert "Waiting until “Go on” has ended: it has the same conversation." in waits
    machine.end(machine.current(first.id))
    machine.start(second)


def test_the_policy_is_asked_again(client: FlaskClient, machine: Machine) -> None:
    task = conversation(machine, mode="edit")
    machine.policy.write_text(machine.policy.read_text().replace(', "edit"', ""))
    answer = client.post(
        f"/t/{task.id}/follow-up", data={"words": "Go on"}, headers=OWN, follow_redirects=True
    )
    assert "Project home does not allow claude.edit" in answer.text


@pytest.mark.parametrize("kind", ["runs", "other action", "no session"])
def test_where_nothing_can_go_on_nothing_is_offered(client: FlaskClient, machine: Machine, kind: str) -> None:
    if kind == "runs":
        task = machine.start(conversation_waiting(machine))
    elif kind == "other action":
        task = machine.ended(output_data={"session_id": None, "stdout": ""})
    else:
        task = conversation_waiting(machine)
        moves.cancel(task, task.created_at)
    assert "Ask a follow-up" not in client.get(f"/t/{task.id}").text
    assert follow_up(client, task, words="Go on").status_code == 409


def conversation_waiting(machine: Machine) -> models.Task:
    return machine.asked(action_type="claude_code", params={"prompt": "x"})


def test_it_needs_words_and_a_page_of_ours(client: FlaskClient, machine: Machine) -> None:
    task = conversation(machine)
    assert follow_up(client, task, words=" \n").status_code == 400
    assert client.post(f"/t/{task.id}/follow-up", data={"words": "Go on"}).status_code == 403
    assert client.post("/t/nobody/follow-up", data={"words": "Go on"}, headers=OWN).status_code == 404
