"""One task: the verdict, what it printed, what can be done now."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from relay.protocol import Reason, Status
from tests.viewer.machine import Machine
from viewer import live, shown, views
from worker import models, moves

OWN = {"Origin": "http://localhost"}


def printed(page: str) -> str:
    """The text in the first log of a page."""
    found = re.search(r"<pre>(.*?)</pre>", page, re.DOTALL)
    assert found
    return html.unescape(re.sub(r"<[^>]+>", "", found[1]))


def test_the_title_tells_a_background_tab_the_verdict(client: FlaskClient, machine: Machine) -> None:
    task = machine.ended(title="Fix the tests", returncode=2, error="It ended with exit status 2: no luck")
    page = client.get(f"/t/{task.id}").text
    assert "<title>Failed \N{EN DASH} Fix the tests · ai-webhook</title>" in page
    assert "<h1>Fix the tests</h1>" in page
    assert "It ended with exit status 2: no luck" in page
    assert "exit 2" in page


def test_a_failure_without_a_sentence_gets_one_from_its_reason(client: FlaskClient, machine: Machine) -> None:
    task = machine.started()
    moves.finish(task, Status.FAILED, task.started_at, reason=Reason.TIMED_OUT)
    assert '<p class="error failed" data-key="error">It took too long</p>' in client.get(f"/t/{task.id}").text


def test_a_refused_command_shows_why_and_nothing_that_it_printed(
    client: FlaskClient, machine: Machine
) -> None:
    task = machine.asked(["git", "config", "-l"], action_type="git")
    page = client.get(f"/t/{task.id}").text
    assert "git config is not allowed: it would change what git runs" in page
    assert "It was not run, so it printed nothing." in page


@pytest.mark.parametrize(
    ("make", "words"),
    [
        ("asked", "Waiting for a free worker."),
        ("started", "Started. Nothing printed yet."),
        ("ended", "It finished without printing anything."),
    ],
)
def test_silence_is_explained(client: FlaskClient, machine: Machine, make: str, words: str) -> None:
    task = getattr(machine, make)()
    assert words in client.get(f"/t/{task.id}").text


def test_a_task_that_waits_for_another_one_says_for_which(client: FlaskClient, machine: Machine) -> None:
    easy = machine.policy.read_text()
    machine.policy.write_text(easy.replace("parallel = true", ""))
    machine.started(title="Build <it>")
    waits = machine.asked(title="Then test")
    machine.policy.write_text(easy)
    page = client.get(f"/t/{waits.id}").text
    assert "Waiting until “Build &lt;it&gt;” has ended: it works in the same repository." in page
    assert "Waiting for a free worker." in client.get(f"/t/{machine.asked().id}").text


def test_what_needs_an_ok_shows_the_whole_command(client: FlaskClient, machine: Machine) -> None:
    task = machine.needs_ok(command="git push && ./deploy.sh " + "x" * 500, title="Deploy")
    page = client.get(f"/t/{task.id}").text
    assert "May this run on your machine?" in page
    assert "git push &amp;&amp; ./deploy.sh " + "x" * 500 in page
    assert "shell.full always needs your OK" in page
    assert str(task.directory) in page
    assert "Run again" not in page
    assert "Stop" not in page


def test_what_is_approved_is_never_cut(client: FlaskClient, machine: Machine) -> None:
    long = "echo " + "y" * 15_000 + " && rm -rf \u202e hidden"
    task = machine.needs_ok(params={"command": ["sh", "-c", long, "z" * 20_000]})
    page = client.get(f"/t/{task.id}").text
    assert "z" * 20_000 in page
    assert "\u202e" not in page


def test_what_an_assistant_would_go_on_with_is_shown_beside_its_prompt(
    client: FlaskClient, machine: Machine
) -> None:
    """ "Go on, do it" means nothing without the conversation that it belongs to."""
    session = "11111111-2222-3333-4444-555555555555"
    params = {"prompt": "Yes, do it", "session": session, "max_turns": 9}
    task = machine.needs_ok(action_type="claude_code", params=params)
    asks = client.get(f"/t/{task.id}").text.partition('class="asks"')[2].partition("</section>")[0]
    assert f"<dt>Session</dt><dd><code>{session}</code>" in asks
    assert "<dt>Max turns</dt><dd><code>9</code>" in asks
    assert "<dt>Prompt</dt>" not in asks


def pressed(client: FlaskClient, task: models.Task, button: str, **form: str) -> int:
    data = {"attempt": str(task.attempt), **form}
    return client.post(f"/t/{task.id}/{button}", headers=OWN, data=data).status_code


def test_approve_lets_run_what_was_shown(client: FlaskClient, machine: Machine) -> None:
    task = machine.needs_ok()
    (shown_print,) = set(
        re.findall(r'name="fingerprint" value="([0-9a-f]{64})"', client.get(f"/t/{task.id}").text)
    )
    assert pressed(client, task, "approve", fingerprint="0" * 64) == 409
    assert pressed(client, task, "approve") == 409
    assert machine.current(task.id).status == "awaiting_approval"
    assert pressed(client, task, "approve", fingerprint=shown_print) == 303
    assert machine.current(task.id).status == "pending"
    again = client.post(f"/t/{task.id}/approve", headers=OWN, data={"fingerprint": shown_print})
    assert again.status_code == 409
    assert "It does not wait for your OK any more: it is pending" in again.text


def test_what_its_owner_declined_is_shown_as_that_and_not_as_a_failure(
    client: FlaskClient, machine: Machine
) -> None:
    task = machine.needs_ok(title="Push it")
    machine.inbox.decline(task.id)
    page = client.get(f"/t/{task.id}").text
    assert "<title>Declined \N{EN DASH} Push it" in page
    assert '<p class="error cancelled" data-key="error">You declined it in the viewer' in page
    the_list = client.get("/").text
    assert '<a class="card cancelled"' in the_list
    assert "</svg>Declined</span>" in the_list
    # As ever in the records, and for whoever asked.
    assert client.get(f"/api/task/{task.id}").json["status"] == "failed"
    machine.inbox.retry(task.id)
    earlier = client.get(f"/t/{task.id}").text.partition("Earlier attempts")[2]
    assert "</svg>Declined</span>" in earlier


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda machine: machine.asked(), "it is pending"),
        (lambda machine: machine.started(), "it is running"),
        (lambda machine: machine.ended(), "it has completed"),
        (lambda machine: machine.ended(returncode=1), "it has failed"),
        (lambda machine: machine.ended(status=Status.CANCELLED), "it was cancelled"),
    ],
)
def test_a_late_yes_or_no_is_told_in_english_what_became_of_the_task(
    client: FlaskClient, machine: Machine, make: Callable[[Machine], models.Task], words: str
) -> None:
    task = make(machine)
    for button in ("approve", "decline"):
        page = client.post(f"/t/{task.id}/{button}", headers=OWN).text
        assert f"It does not wait for your OK any more: {words}." in page


def test_decline_ends_it(client: FlaskClient, machine: Machine) -> None:
    task = machine.needs_ok()
    assert pressed(client, task, "decline") == 303
    declined = machine.current(task.id)
    assert (declined.status, declined.reason) == ("failed", "rejected")
    assert "You declined it" in client.get(f"/t/{task.id}").text


def test_stop_ends_what_waits_and_asks_what_runs(client: FlaskClient, machine: Machine) -> None:
    waits, runs = machine.asked(), machine.started()
    for task in (waits, runs):
        assert ">Stop</button>" in client.get(f"/t/{task.id}").text
        assert pressed(client, task, "stop") == 303
    assert machine.current(waits.id).status == "cancelled"
    assert models.is_stop_asked(runs)
    assert pressed(client, waits, "stop") == 303  # a second tap changes nothing


@pytest.mark.parametrize("button", ["retry", "stop", "approve", "decline"])
def test_a_button_of_another_attempt_does_nothing(client: FlaskClient, machine: Machine, button: str) -> None:
    task = machine.needs_ok()
    answer = client.post(f"/t/{task.id}/{button}", headers=OWN, data={"attempt": "7"})
    assert answer.status_code == 303
    assert machine.current(task.id).status == "awaiting_approval"
    assert client.post(f"/t/nobody/{button}", headers=OWN).status_code == 404
    assert client.post(f"/t/{task.id}/{button}").status_code == 403


def test_a_long_output_opens_at_its_end_and_says_how_much_is_hidden(
    client: FlaskClient, machine: Machine
) -> None:
    text = "".join(f"line {n}\n" for n in range(20_000))
    task = machine.ended(printed=text)
    page = client.get(f"/t/{task.id}").text
    assert text.endswith(printed(page))
    assert re.sub(r"<[^>]+>", "", page).count(f"Showing the last 48 KB of {len(text) / 1024:.0f} KB.") == 1
    everything = client.get(f"/t/{task.id}?output=all").text
    assert printed(everything) == text
    assert "hidden>Showing the last" in everything


def test_a_short_output_hides_nothing(client: FlaskClient, machine: Machine) -> None:
    task = machine.ended(printed="all of it\n")
    page = client.get(f"/t/{task.id}").text
    assert printed(page) == "all of it\n"
    assert "hidden>Showing the last" in page


@pytest.mark.timeout(20)
@pytest.mark.parametrize("line", [b"x" * 1024, b"y" * 1023 + b"\n"])
def test_an_output_of_64_megabytes_is_a_download(client: FlaskClient, machine: Machine, line: bytes) -> None:
    task = machine.started()
    machine.prints(task, b"first" + line * 65_536)
    for query in ("", "?output=all"):
        answer = client.get(f"/t/{task.id}{query}")
        assert len(answer.data) < 3 * live.TAIL_BYTES
        assert "Raw has everything." in answer.text
    assert len(client.get(f"/t/{task.id}/live?from=5&rev=0").data) < 3 * live.TAIL_BYTES
    assert len(client.get(f"/t/{task.id}/raw").data) == 5 + 64 * 1024 * 1024


def test_raw_is_what_was_printed_byte_for_byte_as_a_file(client: FlaskClient, machine: Machine) -> None:
    raw = "\x1b[31m<script>é\r\n".encode() + b"\xff\x00"
    task = machine.ended(task_id="a:b", printed=raw)
    answer = client.get(f"/t/{task.id}/raw")
    assert answer.data == raw
    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_without_a_log_the_record_tells_what_was_printed(client: FlaskClient, machine: Machine) -> None:
    task = machine.ended(output_data={"stdout": "from the record", "stderr": "<and this>", "returncode": 0})
    page = client.get(f"/t/{task.id}").text
    assert printed(page) == "from the record\n<and this>"
    assert client.get(f"/t/{task.id}/raw").text == "from the record\n<and this>"


def test_run_again_makes_the_next_attempt_and_keeps_the_one_before(
    client: FlaskClient, machine: Machine
) -> None:
    task = machine.ended("make it", title="Make it", returncode=1, error="No luck", printed="the first try\n")
    assert 'data-opens="again"' in client.get(f"/t/{task.id}").text
    assert "as attempt 2 of this task" in client.get(f"/t/{task.id}/retry").text
    answer = client.post(f"/t/{task.id}/retry", headers=OWN, data={"attempt": "1"})
    assert (answer.status_code, answer.location) == (303, f"/t/{task.id}")
    page = client.get(f"/t/{task.id}").text
    assert "Queued" in page
    assert "<span>try 2</span>" in page
    assert "Attempt 1" in page
    assert "No luck" in page
    assert "the first try" in page.split("Earlier attempts")[1]
    assert "the first try" not in page.split("Earlier attempts")[0]
    assert client.get(f"/t/{task.id}/raw?attempt=1").text == "the first try\n"
    assert client.get(f"/t/{task.id}/raw?attempt=7").status_code == 404


def test_a_second_tap_asks_for_the_same_attempt(client: FlaskClient, machine: Machine) -> None:
    task = machine.ended(returncode=1)
    for _ in range(3):
        answer = client.post(f"/t/{task.id}/retry", headers=OWN, data={"attempt": "1"})
        assert answer.status_code == 303
    again = models.get(task.id)
    assert again is not None
    assert again.attempt == 2
    machine.end(machine.start(again), 1)
    # A page from before the second attempt: it shows what came of it, and starts nothing.
    assert client.post(f"/t/{task.id}/retry", headers=OWN, data={"attempt": "1"}).status_code == 303
    assert client.get(f"/api/task/{task.id}").json["attempt"] == 2


@pytest.mark.parametrize("make", ["asked", "started", "ended", "needs_ok"])
def test_what_cannot_run_again_offers_nothing_and_says_why(
    client: FlaskClient, machine: Machine, make: str
) -> None:
    task = getattr(machine, make)()
    assert "Run again" not in client.get(f"/t/{task.id}").text
    answer = client.post(f"/t/{task.id}/retry", headers=OWN)
    assert answer.status_code == client.get(f"/t/{task.id}/retry").status_code == 409
    assert f"Only failed and cancelled tasks run again; this one is {task.status}." in answer.text
    assert f'href="/t/{task.id}">Show the task' in answer.text


def test_a_cancelled_task_runs_again(client: FlaskClient, machine: Machine) -> None:
    task = machine.ended(status=Status.CANCELLED)
    assert client.post(f"/t/{task.id}/retry", headers=OWN).status_code == 303


def test_many_attempts_stay_a_small_page(client: FlaskClient, machine: Machine) -> None:
    task = machine.ended(returncode=1, printed="x" * 100_000)
    for _ in range(14):
        machine.inbox.retry(task.id)
        latest = models.get(task.id)
        assert latest is not None
        running = machine.start(latest)
        machine.prints(running, "x" * 100_000)
        machine.end(running, 1)
    page = client.get(f"/t/{task.id}").text
    assert page.count("<details data-key=") == 14
    assert len(page) < 300_000


def test_details_show_the_parameters_and_cut_what_is_long(client: FlaskClient, machine: Machine) -> None:
    task = machine.asked("echo " + "y" * 16_000, title="Long")
    page = client.get(f"/t/{task.id}").text
    assert "&#34;command&#34;: &#34;echo yyy" in page
    big = machine.asked(params={"command": "z" * 1_000_000})
    page = client.get(f"/t/{big.id}").text
    assert page.count("z" * 1000) < 5 * shown._TEXT_CHARS / 1000
    assert "more characters]" in page
    assert f'href="/api/task/{big.id}">all of it as JSON' in page


def test_a_poll_follows_the_output_and_then_the_verdict(client: FlaskClient, machine: Machine) -> None:
    task = machine.started()
    machine.prints(task, "\x1b[32mone\n")
    first = client.get(f"/t/{task.id}/live?from=0&rev={task.rev}").json
    assert (first["html"], first["ended"]) == ('<span class="f2">one</span>\n', False)
    query = f"from={first['from']}&seen={first['seen']}&sgr={first['sgr']}&rev={first['rev']}&attempt=1"
    assert client.get(f"/t/{task.id}/live?{query}").json == {}
    machine.prints(task, "two")
    machine.end(task)
    last = client.get(f"/t/{task.id}/live?{query}").json
    assert (last["html"], last["ended"], last["more"]) == ('<span class="f2">two</span>', True, False)
    assert last["rev"] > first["rev"]


def test_a_poll_for_an_attempt_that_is_over_says_which_one_is_on(
    client: FlaskClient, machine: Machine
) -> None:
    task = machine.ended(returncode=1, printed="old")
    machine.inbox.retry(task.id)
    answer = client.get(f"/t/{task.id}/live?from=3&seen=3&attempt=1&rev={task.rev}").json
    assert answer["attempt"] == 2
    assert "html" not in answer


@pytest.mark.parametrize("sgr", ["<script>", "f99 b77 zz", "x" * 4000, "%00%ff"])
def test_a_forged_state_is_harmless(client: FlaskClient, machine: Machine, sgr: str) -> None:
    task = machine.ended(printed="text\n")
    assert client.get(f"/t/{task.id}/live", query_string={"sgr": sgr}).json["html"] == "text\n"


@pytest.mark.parametrize("query", ["from=-1", "from=x", "seen=1e9", "rev=", "from=99999999999999999999"])
def test_a_forged_offset_is_a_400_with_one_sentence(
    client: FlaskClient, machine: Machine, query: str
) -> None:
    task = machine.ended(printed="text\n")
    answer = client.get(f"/t/{task.id}/live?{query}")
    assert answer.status_code == 400
    assert "is a whole number" in answer.json["error"]


def test_the_number_of_earlier_attempts_with_output_is_bounded() -> None:
    assert views._EARLIER_OUTPUTS * views._EARLIER_BYTES < 2 * live.TAIL_BYTES


def test_the_details_tell_where_it_ran_how_long_it_waited_and_who_said_yes(
    client: FlaskClient, machine: Machine
) -> None:
    task = machine.needs_ok()
    assert task.fingerprint
    machine.inbox.approve(task.id, task.fingerprint)
    machine.end(machine.start(machine.current(task.id), since=-90))
    page = client.get(f"/t/{task.id}").text
    details = page.partition("<summary>Details</summary>")[2]
    assert f"<dt>In</dt><dd><code>{task.directory}</code></dd>" in details
    assert f"<dt>Your OK</dt><dd>Given. {task.approval}</dd>" in details
    assert re.search(r"<dt>Started</dt><dd><time[^>]*>[^<]*</time>, after 1 min 3\d s</dd>", details)
