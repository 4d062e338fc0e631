"""Chips by action, "new", and running all failed tasks of a filter again."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from tests.viewer.machine import Machine
from tests.viewer.test_tasks_page import titles
from viewer import listing

OWN = {"Origin": "http://localhost"}


def git(machine: Machine, **more: object) -> None:
    machine.ended(["git", "status"], action_type="git", **more)


def test_chips_count_what_they_lead_to(client: FlaskClient, machine: Machine) -> None:
    git(machine, title="one")
    git(machine, title="two", returncode=1)
    machine.ended(title="three", returncode=1)
    page = client.get("/?action=git").text
    assert titles(page) == ["two", "one"]
    assert 'href="/?status=failed&amp;action=git">Failed <span>1</span>' in page
    assert re.search(r'href="/\?action=git" aria-current="true">\s*git <span>2</span>', page)
    assert 'href="/">Any action <span>3</span>' in page
    assert titles(client.get("/?status=failed&action=shell").text) == ["three"]


def test_an_action_that_does_not_exist_is_no_chip(client: FlaskClient, machine: Machine) -> None:
    git(machine)
    machine.ended()
    machine.asked(action_type="gti", params={"command": ["git", "status"]})
    page = client.get("/").text
    assert ">gti <span>" not in page
    assert "Any action <span>3</span>" in page
    assert client.get("/?action=gti").text.count('class="title"') == 1


def test_an_action_also_filters_what_is_going_on(client: FlaskClient, machine: Machine) -> None:
    machine.asked(title="waits")
    machine.asked(["git", "status"], action_type="git", title="git waits")
    assert titles(client.get("/?action=git").text) == ["git waits"]


@pytest.mark.parametrize("action", ["No!", "../x", "a" * 40])
def test_an_action_that_cannot_be_one_is_a_400(client: FlaskClient, action: str) -> None:
    assert client.get("/", query_string={"action": action}).status_code == 400
    assert client.get("/?action=unknown").status_code == 200


def test_a_result_is_new_until_it_was_looked_at(client: FlaskClient, machine: Machine) -> None:
    task = machine.ended(title="fresh", returncode=1)
    machine.started(title="still running")
    assert client.get("/").text.count(">new<") == 1
    for form in ({"attempt": 9, "through": "phone"}, {"attempt": 1, "through": "spy"}):
        client.post(f"/t/{task.id}/viewed", data=form, headers=OWN)
    client.get(f"/t/{task.id}")
    assert client.get("/").text.count(">new<") == 1
    assert client.post(f"/t/{task.id}/viewed", data={"attempt": 1, "through": "phone"}).status_code == 403
    client.post(f"/t/{task.id}/viewed", data={"attempt": 1, "through": "phone"}, headers=OWN)
    assert ">new<" not in client.get("/").text
    # Its next attempt is another result.
    machine.inbox.retry(task.id)
    machine.end(machine.start(machine.current(task.id)))
    assert client.get("/").text.count(">new<") == 1


def chosen(page: str) -> list[str]:
    return re.findall(r'name="task" value="([^"]+)"', page)


def test_all_failed_tasks_of_a_filter_run_again(client: FlaskClient, machine: Machine) -> None:
    git(machine, title="other", returncode=1)
    failed = [machine.ended(f"make {n}", title=f"Make {n}", returncode=1) for n in range(3)]
    assert "again</a>" not in client.get("/").text
    assert ">Run all 3 again</a>" in client.get("/?status=failed&action=shell").text
    page = client.get("/retry?status=failed&action=shell").text
    assert [f"{task.id}/1" for task in reversed(failed)] == chosen(page)
    assert "make 1" in page
    assert ">Run 3 again<" in page
    answer = client.post("/retry", data={"task": chosen(page), "action": "shell"}, headers=OWN)
    assert "3 tasks run again" in answer.text
    assert [machine.current(task.id).status for task in failed] == ["pending"] * 3


def test_what_can_never_pass_or_was_declined_is_not_offered_with_the_others(
    client: FlaskClient, machine: Machine
) -> None:
    failed = [machine.ended(f"make {n}", returncode=1) for n in range(2)]
    declined = machine.needs_ok(title="Push it")
    machine.inbox.decline(declined.id)
    machine.asked(action_type="gti")
    machine.asked(action_type="claude_code", params={"mode": "wild"})
    assert ">Run all 2 again</a>" in client.get("/?status=failed").text
    assert [f"{task.id}/1" for task in reversed(failed)] == chosen(client.get("/retry?status=failed").text)
    assert "Nothing to run again" in client.get("/retry?status=failed&action=gti").text
    # By itself, what was declined may be asked again.
    assert "Run again" in client.get(f"/t/{declined.id}").text


@pytest.mark.parametrize(
    ("action_type", "command", "why"),
    [
        ("gti", ["git", "status"], "There is no action &#39;gti&#39;; there are"),
        ("git", 'git show "unterminated', "The command cannot be split into words"),
        ("git", ["git", "config", "-l"], "git config is not allowed"),
    ],
)
def test_what_can_never_pass_cannot_run_again(
    client: FlaskClient, machine: Machine, action_type: str, command: object, why: str
) -> None:
    task = machine.asked(action_type=action_type, params={"command": command})
    assert "Run again" not in client.get(f"/t/{task.id}").text
    answer = client.get(f"/t/{task.id}/retry")
    assert answer.status_code == 409
    assert f"It would be refused again: {why}" in answer.text


def test_what_the_policy_forbids_today_may_run_again(client: FlaskClient, machine: Machine) -> None:
    easy = machine.policy.read_text()
    machine.policy.write_text(easy.replace('shell = "full"', 'shell = "off"'))
    task = machine.asked()
    machine.policy.write_text(easy)
    assert task.status == "failed"
    assert "Run again" in client.get(f"/t/{task.id}").text


def test_it_says_honestly_which_do_not_run_and_why(client: FlaskClient, machine: Machine) -> None:
    good, gone, done, refused = (machine.ended("make", title=f"T{n}", returncode=1) for n in range(4))
    page = client.get("/retry?status=failed").text
    machine.inbox.retry(done.id)
    machine.policy.write_text(machine.policy.read_text().replace('shell = "full"', 'shell = "off"'))
    answer = client.post("/retry", data={"task": [*chosen(page), "nobody/1"]}, headers=OWN).text
    assert "0 of 5 run again" in answer
    assert "It was run again already" in answer
    assert "There is no such task any more" in answer
    assert answer.count("is not allowed") >= 1 or "off" in answer
    for task in (good, gone, refused):
        assert machine.current(task.id).attempt == 1


def test_never_more_than_a_handful_run_again_at_once(client: FlaskClient, machine: Machine) -> None:
    for _ in range(listing.MOST_AGAIN + 2):
        machine.ended(title="again and again", returncode=1)
    assert ">Run the newest 20 again</a>" in client.get("/?status=failed").text
    assert ">Run the newest 20 again</a>" in client.get("/?status=failed&q=again").text
    page = client.get("/retry?status=failed").text
    assert len(chosen(page)) == listing.MOST_AGAIN
    assert "these are the newest 20" in page
    too_many = client.post("/retry", data={"task": ["x/1"] * 21}, headers=OWN)
    assert too_many.status_code == 400


def test_bulk_needs_the_viewers_own_page(client: FlaskClient, machine: Machine) -> None:
    task = machine.ended(returncode=1)
    assert client.post("/retry", data={"task": [f"{task.id}/1"]}).status_code == 403
    assert machine.current(task.id).attempt == 1
    assert "Nothing to run again" in client.get("/retry?q=zebra").text
