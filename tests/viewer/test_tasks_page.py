"""The list: what is going on, what has ended, and one state of it."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from relay.protocol import Status
from tests.viewer.machine import Machine
from viewer import listing

ODD_IDS = ["..a", "a:b", "-", "_", "A.b-c_d:e", "x" * 128, "live", "retry"]


def titles(page: str) -> list[str]:
    return re.findall(r'<span class="title">(.*?)</span>', page)


def test_a_new_machine_says_what_to_say(client: FlaskClient) -> None:
    page = client.get("/").text
    assert "No tasks yet" in page
    assert "Check git status on my laptop" in page


def test_what_goes_on_comes_first_and_what_asks_before_all(client: FlaskClient, machine: Machine) -> None:
    machine.ended(title="old")
    machine.needs_ok(title="asks")
    machine.started(title="runs")
    machine.asked(title="waits")
    machine.ended(title="new")
    page = client.get("/").text
    assert titles(page) == ["asks", "runs", "waits", "new", "old"]
    assert page.index(">Now<") < page.index(">asks<") < page.index(">Recent<") < page.index(">new<")


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (Status.AWAITING_APPROVAL, "Needs your OK"),
        (Status.RUNNING, "Running"),
        (Status.PENDING, "Queued"),
        (Status.FAILED, "Failed"),
        (Status.COMPLETED, "Done"),
        (Status.CANCELLED, "Cancelled"),
    ],
)
def test_each_state_has_a_word_an_icon_and_a_filter(
    client: FlaskClient, machine: Machine, status: Status, word: str
) -> None:
    machine.needs_ok(title="awaiting_approval")
    machine.started(title="running")
    machine.asked(title="pending")
    machine.ended(title="failed", returncode=1)
    machine.ended(title="completed")
    machine.ended(title="cancelled", status=Status.CANCELLED)
    page = client.get(f"/?status={status}").text
    assert titles(page) == [status]
    assert re.search(rf'<use href="#i-\w+"/></svg>{word}</span>', page)
    assert f'href="/?status={status}" aria-current="true">{word} <span>1</span>' in page
    assert ">All <span>6</span>" in page


def test_a_state_that_no_task_has_says_so(client: FlaskClient, machine: Machine) -> None:
    machine.ended()
    page = client.get("/?status=failed").text
    assert "Nothing matches" in page
    assert "No task with status “Failed”." in page
    assert "Show all tasks" in page


def test_a_state_that_does_not_exist_is_an_error_that_lists_those_that_do(client: FlaskClient) -> None:
    answer = client.get("/?status=done")
    assert answer.status_code == 400
    assert "awaiting_approval, pending, running, completed, failed, cancelled" in answer.text


def test_earlier_tasks_are_pages_away_and_none_is_lost_or_shown_twice(
    client: FlaskClient, machine: Machine
) -> None:
    total = 2 * listing.PAGE_TASKS + 3
    for number in range(total):
        machine.ended(title=f"number {number}")
    seen, address = [], "/"
    while address:
        page = client.get(address).text
        seen += titles(page)
        found = re.search(r'href="([^"]+)">Show earlier tasks', page)
        address = found[1] if found else ""
        # A task that arrives in between does not move the pages.
        machine.ended(title="later")
    assert [title for title in seen if title != "later"] == [f"number {n}" for n in reversed(range(total))]


def test_a_filter_stays_when_paging(client: FlaskClient, machine: Machine) -> None:
    for _ in range(listing.PAGE_TASKS + 1):
        machine.ended(returncode=1)
        machine.ended(title="well")
    page = client.get("/?status=failed").text
    address = re.search(r'href="([^"]+)">Show earlier tasks', page)
    assert address
    older = client.get(address[1].replace("&amp;", "&")).text
    assert len(titles(older)) == 1
    assert "well" not in older


def test_a_queue_without_end_does_not_make_a_page_without_end(
    client: FlaskClient, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "NOW_TASKS", 3)
    for _ in range(5):
        machine.asked()
    page = client.get("/").text
    assert len(titles(page)) == 3
    assert "2 more wait" in page


def test_a_card_says_what_went_wrong_else_what_came_out_else_what_runs(
    client: FlaskClient, machine: Machine
) -> None:
    machine.ended(title="one", returncode=1, error="There is no program 'foo' on this machine")
    machine.ended(title="two", headline="On branch main, nothing to commit")
    machine.asked("make three", title="three")
    lines = re.findall(r'<span class="line[^"]*">(.*?)</span>', client.get("/").text)
    assert lines == [
        "make three",
        "On branch main, nothing to commit",
        "There is no program &#39;foo&#39; on this machine",
    ]


def test_without_a_title_the_command_is_the_title_and_not_said_twice(
    client: FlaskClient, machine: Machine
) -> None:
    machine.asked("make bench")
    page = client.get("/").text
    assert titles(page) == ["make bench"]
    assert 'class="line' not in page


@pytest.mark.parametrize(
    ("action_type", "params", "title"),
    [
        ("git", {"command": 'git show "unterminated'}, "git show &#34;unterminated"),
        ("gti", {"command": ["git", "log", "a b"]}, "git log &#39;a b&#39;"),
        ("claude_code", {"prompt": "Fix it", "mode": "wild"}, "Fix it"),
        ("claude_code", {"mode": "wild", "max_turns": 3}, "claude code: mode wild, max turns 3"),
        ("shell", {"command": ["ls", 1]}, "shell: command [&#34;ls&#34;, 1]"),
        ("gti", {}, "gti, without parameters"),
    ],
)
def test_what_was_refused_has_a_title_that_can_be_read(
    client: FlaskClient, machine: Machine, action_type: str, params: dict[str, object], title: str
) -> None:
    task = machine.asked(action_type=action_type, params=params)
    assert task.status == Status.FAILED
    assert titles(client.get("/").text) == [title]
    page = client.get(f"/t/{task.id}").text
    assert f"<h1>{title}</h1>" in page
    # All of it, as it came, is below.
    assert "<dt>Parameters</dt>" in page


def test_a_command_that_looks_like_json_is_shown_as_it_runs(client: FlaskClient, machine: Machine) -> None:
    machine.asked('{"command": "echo hello"}')
    assert titles(client.get("/").text) == ["{&#34;command&#34;: &#34;echo hello&#34;}"]


@pytest.mark.parametrize("task_id", ODD_IDS)
def test_every_legal_task_id_has_a_link_that_works(
    client: FlaskClient, machine: Machine, task_id: str
) -> None:
    machine.ended(task_id=task_id, title="odd", returncode=1, printed="x")
    address = re.search(r'<a class="card[^"]*" href="([^"]+)"', client.get("/").text)
    assert address
    for below in ("", "/live", "/raw", "/retry"):
        assert client.get(address[1] + below).status_code == 200
    answer = client.post(address[1] + "/retry", headers={"Origin": "http://localhost"})
    assert (answer.status_code, answer.location) == (303, address[1])


def test_the_title_counts_what_needs_an_ok(client: FlaskClient, machine: Machine) -> None:
    machine.asked()
    assert "<title>Tasks · ai-webhook</title>" in client.get("/").text
    machine.needs_ok()
    assert "<title>(1) Tasks · ai-webhook</title>" in client.get("/").text


def test_hostile_words_are_shown_as_words(client: FlaskClient, machine: Machine) -> None:
    title = "<script>alert(1)</script>\u202egpj.exe\x1b[31m"
    machine.ended(f"echo {title}", title=title, returncode=1, error=title, caller="<b>")
    for page in (client.get("/").text, client.get("/?status=failed").text):
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\N{REPLACEMENT CHARACTER}gpj.exe" in page
        assert "\x1b" not in page


def test_the_list_asks_whether_anything_changed(client: FlaskClient, machine: Machine) -> None:
    task = machine.asked()
    version = client.get("/live").json["version"]
    assert f'data-version="{version}"' in client.get("/").text
    answer = client.get(f"/live?version={version}")
    # A 204 would make waitress close the connection.
    assert (answer.status_code, answer.json) == (200, {})
    assert answer.headers["Content-Length"]
    machine.end(machine.start(task))
    later = client.get(f"/live?version={version}").json["version"]
    # "new" goes away at the first look, also on a page that is open elsewhere.
    client.post(
        f"/t/{task.id}/viewed",
        data={"attempt": 1, "through": "phone"},
        headers={"Origin": "http://localhost"},
    )
    assert client.get(f"/live?version={later}").json["version"] != later


@pytest.mark.parametrize("address", ["/?before=x", "/?before=-1", "/?before=99999999999999999999"])
def test_a_number_that_is_none_is_a_400(client: FlaskClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 400
    assert "is a whole number" in answer.text
