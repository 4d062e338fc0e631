"""What a page does while the viewer does not answer: it stays, and says so."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Server
from tests.browser.test_every_page import conversation
from tests.browser.test_while_it_is_open import is_the_same, never_reloaded
from tests.chain import wait_until
from tests.viewer.machine import Machine
from worker import models

pytestmark = pytest.mark.browser

NOT_SENT = "Not sent: the viewer does not answer"


def let_pass(page: Page) -> None:
    """What was answered a moment ago is answered still, for a page; let that moment pass."""
    wait_until(lambda: page.evaluate("!isFresh()"), "the last answer is old")


@pytest.fixture
def allowed() -> list[str]:
    return ["net::ERR_"]


@pytest.mark.parametrize("word", ["Approve", "Decline"])
def test_a_yes_or_no_that_cannot_be_sent_says_so_and_can_be_given_later(
    page: Page, machine: Machine, server: Server, word: str
) -> None:
    task = machine.needs_ok(title="Push it")
    page.goto(f"/t/{task.id}")
    never_reloaded(page)
    button = page.get_by_role("button", name=word)
    expect(button).to_be_enabled()
    server.stop()
    let_pass(page)
    place = button.bounding_box()
    button.click()
    expect(page.get_by_role("alert")).to_have_text(NOT_SENT)
    expect(page.get_by_role("alert")).to_be_in_viewport()
    button.click()
    expect(page.get_by_role("alert")).to_have_count(1)
    assert button.bounding_box() == place
    assert is_the_same(page)
    assert machine.current(task.id).status == "awaiting_approval"
    server.start()
    expect(page.get_by_role("alert")).to_have_count(0, timeout=20_000)
    button.click()
    expect(page.locator("main > .facts .state")).not_to_have_text("Needs your OK")


def test_what_was_typed_and_the_focus_stay(page: Page, machine: Machine, server: Server) -> None:
    page.goto(conversation(machine))
    server.stop()
    let_pass(page)
    words = page.get_by_role("textbox", name="Ask a follow-up")
    words.fill("And the tests?")
    page.get_by_role("button", name="Ask", exact=True).press("Enter")
    expect(page.get_by_text(NOT_SENT)).to_be_visible()
    expect(words).to_have_value("And the tests?")
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_focused()


@pytest.mark.parametrize("device", ["phone", "laptop"])
def test_no_button_moves_when_it_is_said(page: Page, machine: Machine, server: Server) -> None:
    for number in range(3):
        machine.ended(f"make {number}", returncode=1)
    running = machine.started()
    machine.asks(running, "Bash", {"command": "make"})
    many = page.context.new_page()
    page.goto(f"/t/{running.id}")
    many.goto("/retry?status=failed")
    expect(page.get_by_role("button", name="Allow")).to_be_enabled()
    server.stop()
    for one, press, other in (
        (page, "Allow", page.get_by_role("button", name="Deny")),
        (many, "Run 3 again", many.get_by_role("link", name="Not now")),
    ):
        let_pass(one)
        buttons = (one.get_by_role("button", name=press), other)
        sizes = [button.bounding_box() for button in buttons]
        buttons[0].click()
        expect(one.get_by_text(NOT_SENT)).to_be_visible()
        after = [button.bounding_box() for button in buttons]
        for before, now in zip(sizes, after, strict=True):
            assert before
            assert now
            assert (now["x"], now["width"], now["height"]) == pytest.approx(
                (before["x"], before["width"], before["height"]), abs=1
            )
    many.close()


def test_a_dialog_says_it_where_it_is_read(page: Page, machine: Machine, server: Server) -> None:
    task = machine.ended(title="Make it", returncode=1)
    page.goto(f"/t/{task.id}")
    page.get_by_role("link", name="Run again").click()
    server.stop()
    let_pass(page)
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Run again").click()
    expect(dialog.get_by_text(NOT_SENT)).to_be_visible()
    server.start()
    dialog.get_by_role("button", name="Run again").click()
    expect(page.locator("main > .facts")).to_contain_text("try 2")
    assert models.Task.get(models.Task.id == task.id).attempt == 2


@pytest.mark.parametrize("path", ["/", "/stats", "/login", "/nowhere"])
def test_a_link_waits_until_the_viewer_answers_again(
    page: Page, machine: Machine, server: Server, allowed: list[str], path: str
) -> None:
    allowed.append("404 (NOT FOUND)")
    machine.ended(title="Make it")
    page.context.clear_cookies()
    page.goto(path)
    never_reloaded(page)
    server.stop()
    let_pass(page)
    events = page.get_by_role("link", name="Events")
    events.click()
    expect(page.locator("[data-offline]")).to_have_text(re.compile("does not answer"))
    assert is_the_same(page)
    server.start()
    expect(page.locator("[data-offline]")).to_be_empty(timeout=20_000)
    events.click()
    expect(page).to_have_url("/events")


def test_a_device_without_a_network_keeps_its_page(page: Page, machine: Machine) -> None:
    task = machine.ended(title="Make it")
    page.goto(f"/t/{task.id}")
    page.context.set_offline(True)
    let_pass(page)
    page.get_by_role("link", name="Tasks").last.click()
    expect(page.locator("[data-offline]")).to_contain_text(
        re.compile("this device is offline", re.IGNORECASE)
    )
    page.get_by_role("link", name="Skip to the content").focus()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.context.set_offline(False)
    expect(page.locator("[data-offline]")).to_be_empty(timeout=20_000)
    page.get_by_role("link", name="Tasks").last.click()
    expect(page).to_have_url("/")


def test_it_is_said_where_it_is_seen_and_the_dot_is_not_green(
    page: Page, machine: Machine, server: Server
) -> None:
    for number in range(20):
        machine.ended(title=f"number {number}")
    page.goto("/")
    dot, notice = page.locator(".dot"), page.locator("[data-offline]")
    dot.evaluate("dot => { dot.classList.add('well'); scrollTo(0, 600); }")
    server.stop()
    expect(page.locator("body.away")).to_be_attached()
    colour = "dot => getComputedStyle(dot).backgroundColor"
    assert dot.evaluate(colour) == "rgb(89, 95, 91)"
    expect(notice).to_be_in_viewport(ratio=1)
    expect(notice).to_contain_text("does not answer")
    server.start()
    expect(page.locator("body.away")).to_have_count(0, timeout=20_000)


def test_the_dot_and_the_foot_of_the_page_follow_what_runs(page: Page, machine: Machine) -> None:
    page.goto("/")
    page.locator(".dot").evaluate("dot => dot.classList.add('well')")
    page.locator("footer p").evaluate("foot => { foot.textContent = 'connected'; }")
    machine.ended()
    expect(page.locator("footer p")).to_contain_text("not all of it runs")
    expect(page.locator(".dot.well")).to_have_count(0)


def test_the_page_of_an_ended_task_notices_when_it_is_looked_at_or_tapped(
    page: Page, machine: Machine, server: Server
) -> None:
    page.goto(f"/t/{machine.ended(returncode=1).id}")
    server.stop()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("[data-offline]")).to_contain_text("does not answer")
    server.start()
    expect(page.locator("[data-offline]")).to_be_empty(timeout=20_000)
