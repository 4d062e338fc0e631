"""What a page does while somebody looks at it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.chain import wait_until
from tests.viewer.machine import Machine

pytestmark = pytest.mark.browser

HOSTILE = (
    "\x1b[31m<img src=x onerror=\"document.title='owned'\">\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07\n"
)


# The log is laid out from its end, so 0 is the end and what is above is negative.
AT_END = "log => log.scrollTop > -2 && log.scrollHeight > log.clientHeight"


def log_of(page: Page) -> str:
    return page.get_by_role("region", name="Output", exact=True).evaluate("log => log.textContent")


def never_reloaded(page: Page) -> None:
    """Remembers this very document; `is_the_same` tells whether it is still there."""
    page.evaluate("window.remembered = true")


def is_the_same(page: Page) -> bool:
    return bool(page.evaluate("window.remembered === true"))


def test_a_new_task_appears_and_moves_to_recent_when_it_ends_without_a_reload(
    page: Page, machine: Machine
) -> None:
    page.goto("/")
    never_reloaded(page)
    expect(page.get_by_text("No tasks yet")).to_be_visible()
    task = machine.asked("make bench", title="Measure the queue")
    card = page.get_by_role("link", name="Measure the queue")
    expect(card).to_contain_text("Queued")
    expect(page.get_by_role("heading", name="Now")).to_be_visible()
    running = machine.start(task)
    expect(card).to_contain_text("Running")
    machine.end(running, headline="Ten thousand a second")
    expect(card).to_contain_text("Ten thousand a second")
    expect(page.get_by_role("heading", name="Now")).to_be_hidden()
    expect(page.get_by_role("heading", name="Recent")).to_be_visible()
    assert is_the_same(page)


def test_news_keep_focus_selection_and_place(page: Page, machine: Machine) -> None:
    for number in range(20):
        machine.ended(title=f"number {number}")
    page.goto("/")
    chosen = page.get_by_role("link", name="number 7")
    chosen.focus()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('a.card:focus .title'))")
    place = chosen.bounding_box()
    machine.ended(title="news")
    expect(page.get_by_role("link", name="news")).to_be_attached()
    assert page.evaluate("document.activeElement.textContent").strip().startswith("number 7")
    assert page.evaluate("getSelection().toString()") == "number 7"
    assert place
    moved = chosen.bounding_box()
    assert moved
    assert abs(moved["y"] - place["y"]) < 3 * place["height"]


def test_the_focus_stays_when_a_task_above_goes(page: Page, machine: Machine) -> None:
    below = machine.started(title="below")
    above = machine.started(title="above")
    page.goto("/")
    page.get_by_role("link", name="below").focus()
    page.evaluate("document.addEventListener('focusin', () => { window.moved = true; })")
    machine.end(above)
    expect(page.get_by_role("link", name="above")).to_contain_text("Done")
    expect(page.get_by_role("link", name="below")).to_be_focused()
    assert not page.evaluate("window.moved")
    machine.end(below)


def test_the_focus_follows_a_task_that_ends(page: Page, machine: Machine) -> None:
    task = machine.started(title="Test it")
    machine.ended(title="old")
    page.goto("/")
    page.get_by_role("link", name="Test it").focus()
    machine.end(task)
    expect(page.get_by_role("link", name="Test it")).to_contain_text("Done")
    expect(page.get_by_role("link", name="Test it")).to_be_focused()


def test_a_hostile_output_is_followed_line_by_line_and_stays_text(page: Page, machine: Machine) -> None:
    task = machine.started(title="Say it")
    page.goto(f"/t/{task.id}")
    never_reloaded(page)
    expect(page.get_by_text("Started. Nothing printed yet.")).to_be_visible()
    machine.prints(task, HOSTILE)
    expect(page.get_by_text("<img src=x")).to_be_visible()
    expect(page.get_by_text("Started. Nothing printed yet.")).to_be_hidden()
    machine.prints(task, "Pass")
    expect(page.get_by_text("Pass", exact=True)).to_be_visible()
    machine.prints(task, "word? ***\ré10%\ré20%")
    expect(page.get_by_text("é20%", exact=True)).to_be_visible()
    assert log_of(page) == "<img src=x onerror=\"document.title='owned'\">link\né20%"
    assert page.locator("img[src=x], .log a").count() == 0
    assert page.title().startswith("Running")
    assert is_the_same(page)


@pytest.mark.parametrize(("returncode", "word"), [(0, "Done"), (3, "Failed")])
def test_the_verdict_comes_in_place_and_is_said_aloud(
    page: Page, machine: Machine, returncode: int, word: str
) -> None:
    task = machine.started(title="Test it", since=94)
    machine.prints(task, "first\n")
    page.goto(f"/t/{task.id}")
    never_reloaded(page)
    page.get_by_text("Details").click()
    machine.prints(task, "last words without an end of line")
    machine.end(task, returncode)
    expect(page.locator("[data-said]")).to_have_text(re.compile(f"^{word} after 1 min 3[4-9] s$"))
    expect(page.locator("main > .facts .state")).to_have_text(word)
    expect(page).to_have_title(re.compile(f"^{word}"))
    expect(page.get_by_text("last words without an end of line")).to_be_visible()
    expect(page.get_by_role("link", name="Run again")).to_have_count(1 if returncode else 0)
    assert page.locator("details.details").get_attribute("open") is not None
    assert is_the_same(page)


def test_after_the_end_nothing_is_asked_any_more(page: Page, machine: Machine) -> None:
    task = machine.started()
    page.clock.install()
    page.goto(f"/t/{task.id}")
    machine.end(task)
    wait_until(lambda: page.clock.run_for(250) or page.title().startswith("Done"), "the verdict")
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(120_000)
    page.wait_for_load_state("networkidle")
    assert len(asked) <= 1


def test_a_hidden_page_asks_nothing_and_asks_at_once_when_it_is_seen_again(
    page: Page, machine: Machine
) -> None:
    page.clock.install()
    page.goto("/")
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(60_000)
    assert asked == []
    page.evaluate("delete document.hidden")
    with page.expect_request("**/live?*"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.clock.run_for(1)


def test_a_viewer_that_is_away_is_said_and_tried_again(
    page: Page, machine: Machine, allowed: list[str]
) -> None:
    allowed.append("ERR_FAILED")
    page.clock.install()
    page.goto("/")

    def refuse(route: Route) -> None:
        route.abort()

    page.route("**/live?*", refuse)
    strip = page.locator("[data-offline]")
    for wait in (3000, 2000):
        with page.expect_event("requestfailed"):
            page.clock.run_for(wait)
    expect(strip).to_have_text(re.compile("The viewer on your machine does not answer . trying again"))
    page.unroute("**/live?*", refuse)
    machine.ended(title="made meanwhile")
    with page.expect_response("**/live?*"):
        page.clock.run_for(4000)
    expect(strip).to_be_empty()
    expect(page.get_by_text("made meanwhile")).to_be_visible()


def test_output_is_followed_until_somebody_scrolls_up_and_again_on_request(
    page: Page, machine: Machine
) -> None:
    task = machine.started()
    machine.prints(task, "".join(f"line {n}\n" for n in range(200)))
    page.goto(f"/t/{task.id}")
    log = page.get_by_role("region", name="Output", exact=True)
    follow = page.get_by_role("button", name="Follow output")
    assert log.evaluate(AT_END)
    expect(follow).to_be_hidden()
    # Safari has no scroll anchoring; the page must do without.
    log.evaluate("log => { log.style.overflowAnchor = 'none'; log.scrollTop = -1000; }")
    expect(follow).to_be_visible()
    before = log.evaluate("log => log.scrollHeight - log.clientHeight + log.scrollTop")
    machine.prints(task, "".join(f"more {n}\n" for n in range(50)))
    expect(page.get_by_text("more 49")).to_be_attached()
    # What is being read stays where it is.
    after = log.evaluate("log => log.scrollHeight - log.clientHeight + log.scrollTop")
    assert abs(after - before) <= 2
    follow.click()
    assert log.evaluate(AT_END)
    expect(follow).to_be_hidden()
    machine.prints(task, "the very last\n")
    expect(page.get_by_text("the very last")).to_be_attached()
    assert log.evaluate(AT_END)


def test_a_flood_keeps_the_page_small_and_says_what_is_hidden(page: Page, machine: Machine) -> None:
    task = machine.started()
    machine.prints(task, "begin\n")
    page.goto(f"/t/{task.id}")
    expect(page.get_by_text("begin")).to_be_visible()
    machine.prints(task, "".join(f"{n}\n" for n in range(30_000)))
    expect(page.get_by_text("29999", exact=False).last).to_be_visible()
    assert log_of(page).count("\n") < 5_400
    expect(page.get_by_text("Showing the last")).to_be_visible()
    # Too far behind to catch up: it jumps to the end.
    machine.prints(task, "x" * 99 + "\n")
    machine.prints(task, ("x" * 99 + "\n") * 20_000 + "the end\n")
    expect(page.get_by_text("the end")).to_be_visible()
    assert len(log_of(page)) < 60_000


def test_another_page_sees_that_a_task_was_run_again(page: Page, machine: Machine) -> None:
    task = machine.started()
    machine.prints(task, "the first try\n")
    page.goto(f"/t/{task.id}")
    never_reloaded(page)
    machine.end(task, 1)
    machine.inbox.retry(task.id)
    again = machine.start(machine.current(task.id))
    machine.prints(again, "the second try\n")
    log = page.get_by_role("region", name="Output", exact=True)
    expect(log).to_have_text("the second try\n")
    expect(page.get_by_text("Attempt 1")).to_be_visible()
    machine.prints(again, "goes on\n")
    expect(log).to_contain_text("goes on")
    assert is_the_same(page)


def test_two_pages_do_not_get_in_each_others_way(page: Page, machine: Machine, browser: Browser) -> None:
    task = machine.started()
    page.goto(f"/t/{task.id}")
    other = page.context.new_page()
    other.goto("/")
    machine.prints(task, "hello\n")
    machine.end(task)
    expect(page.locator("main > .facts .state")).to_have_text("Done")
    expect(other.locator(".state").first).to_have_text("Done")
    other.close()
