"""Taps, keys, forms: with JavaScript and without."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_every_page import conversation
from tests.chain import wait_until
from tests.viewer.machine import Machine
from worker import models, questions

pytestmark = pytest.mark.browser


def test_run_again_asks_first_and_shows_the_command(page: Page, machine: Machine) -> None:
    task = machine.ended("make <b>it</b>", title="Make it", returncode=1, printed="the first try\n")
    page.goto("/")
    page.get_by_role("link", name="Make it").click()
    button = page.get_by_role("link", name="Run again")
    dialog = page.get_by_role("dialog", name="Run this again?")
    button.click()
    expect(dialog).to_contain_text("make <b>it</b>")
    expect(dialog).to_contain_text("as attempt 2 of this task")
    dialog.get_by_role("button", name="Not now").click()
    expect(dialog).to_be_hidden()
    button.click()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()
    assert machine.current(task.id).attempt == 1

    button.click()
    dialog.get_by_role("button", name="Run again").click()
    expect(page.locator("main > .facts")).to_contain_text("try 2")
    expect(page.locator("main > .facts .state")).to_have_text("Queued")
    page.get_by_text("Attempt 1").click()
    expect(page.get_by_role("region", name="Output of attempt 1")).to_have_text("the first try\n")
    running = machine.start(machine.current(task.id))
    machine.prints(running, "the second try\n")
    machine.end(running)
    expect(page.locator("main > .facts .state")).to_have_text("Done")
    expect(page.get_by_role("region", name="Output", exact=True)).to_have_text("the second try\n")


def test_an_impatient_double_tap_runs_it_once(page: Page, machine: Machine) -> None:
    task = machine.ended(returncode=1)
    page.goto(f"/t/{task.id}")
    page.get_by_role("link", name="Run again").click()
    page.get_by_role("dialog").get_by_role("button", name="Run again").dblclick()
    expect(page.locator("main > .facts .state")).to_have_text("Queued")
    assert machine.current(task.id).attempt == 2


@pytest.mark.parametrize("javascript", [False])
def test_everything_works_without_javascript(page: Page, machine: Machine) -> None:
    text = "".join(f"line {n}\n" for n in range(500))
    task = machine.ended("make it", title="Make it", returncode=1, printed=text)
    machine.ended(title="Something else")
    page.goto("/")
    page.get_by_role("link", name="Failed 1").click()
    page.get_by_role("link", name="Make it").click()
    # The log opens at its end, and what only a script can do is not offered.
    log = page.get_by_role("region", name="Output")
    end = "log => log.lastElementChild.getBoundingClientRect().bottom - log.getBoundingClientRect().bottom"
    assert abs(log.evaluate(end)) < 2
    assert log.evaluate("log => log.scrollHeight > log.clientHeight")
    expect(page.get_by_role("button")).to_have_count(0)
    page.get_by_text("Details").click()
    expect(page.get_by_text("Asked through")).to_be_visible()
    page.get_by_role("link", name="Run again").click()
    expect(page.get_by_role("heading", name="Run this again?")).to_be_visible()
    expect(page.get_by_text("make it", exact=True)).to_be_visible()
    page.get_by_role("button", name="Run again").click()
    expect(page.locator("main > .facts")).to_contain_text("try 2")
    assert machine.current(task.id).status == "pending"
    page.get_by_role("link", name="Tasks").last.click()
    expect(page.get_by_role("heading", name="Now")).to_be_visible()
    page.get_by_role("searchbox").fill("else")
    page.get_by_role("button", name="Search").click()
    expect(page).to_have_url("/?q=else")
    expect(page.get_by_role("link", name="Something else")).to_be_visible()
    expect(page.get_by_role("link", name="Make it")).to_have_count(0)
    page.goto("/stats")
    expect(page.get_by_text("As a table")).to_be_visible()


def test_a_search_follows_what_is_typed_and_stays_in_the_address(page: Page, machine: Machine) -> None:
    machine.ended("make zebra", title="Stripes")
    machine.ended(title="Dots", returncode=1)
    page.goto("/?action=shell")
    field = page.get_by_role("searchbox", name="Search title, command, output")
    page.keyboard.press("/")
    expect(field).to_be_focused()
    page.keyboard.type("zeb")
    expect(page.get_by_role("link", name="Dots")).to_have_count(0)
    expect(page.get_by_role("heading", name="Found")).to_be_visible()
    expect(page.locator("[data-said]")).to_have_text("1 found")
    expect(page).to_have_url("/?q=zeb&action=shell")
    expect(field).to_be_focused()
    expect(field).to_have_value("zeb")
    # What is found is news like everything else.
    machine.ended("echo zebu", title="More stripes")
    expect(page.get_by_role("link", name="More stripes")).to_be_visible()
    page.get_by_role("link", name="Failed").click()
    expect(page.get_by_text("No task matches “zeb” with status “Failed”")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("searchbox")).to_have_value("zeb")
    page.get_by_role("searchbox").fill("")
    expect(page.get_by_role("link", name="Dots")).to_be_visible()


@pytest.mark.parametrize("device", ["laptop"])
def test_keys_move_open_go_back_and_ask(page: Page, machine: Machine) -> None:
    for number in range(3):
        machine.ended(title=f"number {number}", returncode=1)
    page.goto("/")
    for key in ("j", "j", "k", "j"):
        page.keyboard.press(key)
    expect(page.get_by_role("link", name="number 1")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="number 1")).to_be_visible()
    # What is to be seen may be there before the script that knows the keys.
    page.wait_for_load_state()
    # The page is there before its script is.
    page.wait_for_load_state()
    page.keyboard.press("r")
    expect(page.get_by_role("dialog", name="Run this again?")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("u")
    expect(page.get_by_role("link", name="number 1")).to_be_visible()
    page.wait_for_load_state()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("searchbox").press_sequentially("jr?")
    expect(page.get_by_role("searchbox")).to_have_value("jr?")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()


def test_all_failed_tasks_run_again_after_a_look_at_their_commands(page: Page, machine: Machine) -> None:
    failed = [machine.ended(f"make {n}", title=f"Make {n}", returncode=1) for n in range(3)]
    machine.ended(title="fine")
    page.goto("/?status=failed")
    page.get_by_role("link", name="Run all 3 again").click()
    expect(page.get_by_text("make 2", exact=True)).to_be_visible()
    # Meanwhile somebody else does one of them.
    machine.inbox.retry(failed[0].id)
    page.get_by_role("button", name="Run 3 again").click()
    expect(page.get_by_role("heading", name="2 of 3 run again")).to_be_visible()
    expect(page.get_by_role("link", name="Make 0")).to_contain_text("It was run again already")
    page.get_by_role("link", name="See what is going on").click()
    expect(page.get_by_role("link", name=re.compile(r"^Make \d"))).to_have_count(3)
    assert {machine.current(task.id).attempt for task in failed} == {2}


def test_stop_approve_and_decline_are_one_tap(page: Page, machine: Machine) -> None:
    running = machine.started(title="Test it")
    page.goto(f"/t/{running.id}")
    page.get_by_role("button", name="Stop").click()
    wait_until(lambda: models.is_stop_asked(running), "it is to be stopped")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    machine.end(running, status="cancelled")
    expect(page.locator("main > .facts .state")).to_have_text("Cancelled")
    yes, no = machine.needs_ok(title="Push it", command="git push"), machine.needs_ok()
    page.goto("/")
    expect(page).to_have_title("(2) Tasks · ai-webhook")
    page.get_by_role("link", name="Push it").click()
    expect(page.get_by_text("git push", exact=True).first).to_be_visible()
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("main > .facts .state")).to_have_text("Queued")
    page.goto(f"/t/{no.id}")
    page.get_by_role("button", name="Decline").click()
    expect(page.get_by_text("You declined it")).to_be_visible()
    assert machine.current(yes.id).approved


def test_the_badge_on_the_home_screen_tells_what_the_list_told_last(page: Page, machine: Machine) -> None:
    page.add_init_script(
        "navigator.setAppBadge = async number => { sessionStorage.badge = number; }"  # as a phone has it
    )
    task = machine.needs_ok(title="Push it")
    page.goto("/")
    badge = "Number(sessionStorage.badge)"
    assert page.evaluate(badge) == 1
    for path in (f"/t/{task.id}", "/stats", "/events", "/connect"):
        page.goto(path)
        assert page.evaluate(badge) == 1, path
    page.goto("/")
    machine.inbox.decline(task.id)
    wait_until(lambda: page.evaluate(badge) == 0, "nothing asks any more")


def test_a_result_is_new_until_its_page_was_in_sight_for_a_second(page: Page, machine: Machine) -> None:
    task = machine.ended(title="Look at me")
    # Time stands still unless the test lets it pass: a busy machine must not make a second of it.
    page.clock.install()
    page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))
    page.goto("/")
    expect(page.get_by_text("new", exact=True)).to_be_visible()
    page.get_by_role("link", name="Look at me").click()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    expect(page).to_have_title(re.compile("^Done"))
    page.wait_for_load_state("load")
    page.clock.run_for(900)
    assert not [url for url in asked if "/viewed" in url]
    with page.expect_response(f"**/t/{task.id}/viewed"):
        page.clock.run_for(200)
    page.go_back()
    page.wait_for_load_state("load")
    new = page.get_by_text("new", exact=True)
    wait_until(lambda: page.clock.run_for(1000) or new.count() == 0, "it is not new any more")


@pytest.mark.parametrize("device", ["laptop"])
def test_an_answer_is_read_and_copied_as_it_was_written(page: Page, machine: Machine) -> None:
    text = "It **works**.\n\n```py\nx < 1\n```\n"
    page.goto(f"/t/{machine.ended(output_data={'answer': text}).id}")
    expect(page.locator(".prose strong")).to_have_text("works")
    page.get_by_role("button", name="Copy answer").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == text


def test_on_paper_a_task_is_whole_and_black_on_white(page: Page, machine: Machine) -> None:
    text = "".join(f"\x1b[33mline {n}\x1b[0m\n" for n in range(200))
    result = {"answer": "It `works`\n\n```\nx\n```", "returncode": 1}
    page.goto(f"/t/{machine.ended(returncode=1, printed=text, output_data=result).id}")
    page.emulate_media(media="print", color_scheme="dark")
    log = page.get_by_role("region", name="Output", exact=True)
    assert log.evaluate("log => log.scrollHeight <= log.clientHeight + 1")
    for part in (".log", ".prose pre"):
        colours = "part => [getComputedStyle(part).backgroundColor, getComputedStyle(part).color]"
        assert page.locator(part).evaluate(colours) == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]
    assert page.locator(".answer").evaluate("it => getComputedStyle(it).color") == "rgb(0, 0, 0)"
    expect(page.get_by_role("button")).to_have_count(0)


def test_a_line_of_a_megabyte_is_usable(page: Page, machine: Machine) -> None:
    task = machine.started()
    machine.prints(task, "x" * 1_000_000 + "the end")
    page.goto(f"/t/{task.id}")
    expect(page.get_by_text("the end")).to_be_attached()
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    machine.prints(task, " and more\n")
    machine.end(task)
    expect(page.locator("main > .facts .state")).to_have_text("Done")
    assert (
        page.get_by_role("region", name="Output", exact=True)
        .evaluate("log => log.textContent")
        .endswith("the end and more\n")
    )


@pytest.mark.parametrize("javascript", [True, False])
def test_what_a_running_task_asks_is_allowed_with_one_tap(page: Page, machine: Machine) -> None:
    task = machine.started(title="Mend it")
    page.goto("/")
    number = machine.asks(task, "Bash", {"command": "make <b>it</b>"})
    page.get_by_role("link", name="Mend it").click()
    asks = page.get_by_role("region", name="May it use Bash now?")
    expect(asks).to_contain_text("make <b>it</b>")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.locator("main > .facts .state")).to_have_text("Needs your OK")
    asks.get_by_role("button", name="Allow").click()
    expect(asks).to_have_count(0)
    assert questions.Question.get_by_id(number).answer == "yes"
    expect(page.locator("main > .facts .state")).to_have_text("Running")


def test_a_second_tap_says_yes_to_nothing_else(page: Page, machine: Machine) -> None:
    page.clock.install(time=0)
    page.clock.pause_at(1_000)
    task = machine.started()
    for command in ("ls", "./deploy.sh"):
        machine.asks(task, "Bash", {"command": command})
    page.goto(f"/t/{task.id}")
    allow, deny = (page.get_by_role("button", name=word) for word in ("Allow", "Deny"))
    page.clock.run_for(500)
    allow.first.click()
    expect(allow).to_have_count(1)
    expect(allow).to_be_disabled()
    expect(deny).to_be_enabled()
    page.clock.run_for(500)
    expect(allow).to_be_enabled()


@pytest.mark.parametrize("javascript", [True, False])
def test_a_conversation_goes_on_with_one_field_and_one_button(page: Page, machine: Machine) -> None:
    page.goto(conversation(machine))
    page.get_by_role("textbox", name="Ask a follow-up").fill("And the tests?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("heading", name="And the tests?")).to_be_visible()
    expect(page.locator("main > .facts .state")).to_have_text("Queued")


def test_a_filter_is_a_link_and_back_goes_back(page: Page, machine: Machine) -> None:
    machine.ended(title="good")
    machine.ended(title="bad", returncode=1)
    machine.asked()
    machine.started()
    machine.needs_ok()
    page.goto("/")
    page.get_by_role("link", name="Done 1").click()
    expect(page).to_have_url("/?status=completed")
    expect(page.get_by_role("link", name="bad")).to_have_count(0)
    expect(page.get_by_role("link", name="Done 1")).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("link", name="Done 1")).to_have_attribute("aria-current", "true")
    page.get_by_role("link", name="good").click()
    page.go_back()
    expect(page).to_have_url("/?status=completed")
    page.go_back()
    expect(page.get_by_role("link", name="bad")).to_be_visible()
    # A page that comes back looks for news at once.
    machine.ended(title="made meanwhile")
    expect(page.get_by_role("link", name="made meanwhile")).to_be_visible()


def test_a_filtered_list_takes_in_new_matches_only(page: Page, machine: Machine) -> None:
    machine.ended(title="first", returncode=1)
    page.goto("/?status=failed")
    machine.ended(title="fine")
    machine.ended(title="second", returncode=1)
    expect(page.get_by_role("link", name="second")).to_be_visible()
    expect(page.get_by_role("link", name="Failed 2")).to_be_visible()
    expect(page.get_by_role("link", name="fine")).to_have_count(0)


def test_a_failed_task_shows_its_last_lines_and_unfolds(page: Page, machine: Machine) -> None:
    text = "".join(f"line {n}\n" for n in range(60))
    page.goto(f"/t/{machine.ended(returncode=1, printed=text).id}")
    log = page.get_by_role("region", name="Output", exact=True)
    lines = "log => log.clientHeight / parseFloat(getComputedStyle(log.firstElementChild).lineHeight)"
    assert log.evaluate("log => log.scrollTop") == 0  # reversed: the end
    assert 12 <= log.evaluate(lines) < 14
    page.get_by_role("button", name="Show more lines").click()
    assert log.evaluate(lines) > 20
    assert log.evaluate("log => log.scrollTop") == 0
    expect(page.get_by_role("button", name="Show more lines")).to_be_hidden()


def test_show_everything_shows_everything(page: Page, machine: Machine) -> None:
    text = "".join(f"line {n}\n" for n in range(10_000))
    page.goto(f"/t/{machine.ended(printed=text).id}")
    page.get_by_role("link", name="Show everything").click()
    log = page.get_by_role("region", name="Output", exact=True)
    assert log.evaluate("log => log.textContent") == text
    assert log.evaluate("log => log.scrollTop") == 0
    expect(page.get_by_text("Showing the last")).to_be_hidden()


@pytest.mark.parametrize("device", ["laptop"])
def test_copy_copies_text_without_codes_and_entities(page: Page, machine: Machine) -> None:
    task = machine.ended(printed="\x1b[32mok\x1b[0m <&> it's\nnext\n")
    page.goto(f"/t/{task.id}")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "ok <&> it's\nnext\n"


def test_raw_is_a_download(page: Page, machine: Machine) -> None:
    task = machine.ended(printed="\x1b[32mok\x1b[0m\n")
    page.goto(f"/t/{task.id}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Raw").click()
    assert download.value.suggested_filename == f"{task.id}-1.log"
    assert download.value.path().read_bytes() == b"\x1b[32mok\x1b[0m\n"


def test_a_keyboard_can_skip_to_the_content(page: Page, machine: Machine) -> None:
    machine.ended(title="Make it")
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_times_are_said_in_local_time(page: Page, machine: Machine) -> None:
    task = machine.asked()
    page.goto(f"/t/{task.id}")
    expect(page.get_by_text("just now")).to_be_visible()
    page.get_by_text("Details").click()
    said = page.locator("details dd time").first.inner_text()
    local = "at => new Date(at).toLocaleString(undefined, {dateStyle: 'medium', timeStyle: 'medium'})"
    assert said == page.evaluate(local, task.created_at.isoformat())


def test_another_web_page_cannot_run_a_task(
    page: Page, machine: Machine, base_url: str, allowed: list[str]
) -> None:
    allowed.append("403 (FORBIDDEN)")
    task = machine.ended(returncode=1)
    page.goto("about:blank")
    page.set_content(f'<form method="post" action="{base_url}/t/{task.id}/retry"><button>Win</button></form>')
    with page.expect_response("**/retry") as answer:
        page.get_by_role("button", name="Win").click()
    assert answer.value.status == 403
    expect(page.get_by_text("Nothing was done")).to_be_visible()
    assert models.Task.get(models.Task.id == task.id).attempt == 1
