"""Going from page to page where the system asks for no calm: one page is drawn over into the next."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.viewer.machine import Machine

pytestmark = pytest.mark.browser


@pytest.fixture
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return {**browser_context_args, "reduced_motion": "no-preference"}


def test_a_yes_that_comes_too_late_is_told_and_nothing_is_thrown(
    page: Page, machine: Machine, allowed: list[str]
) -> None:
    allowed.append("409 (CONFLICT)")
    task = machine.needs_ok(title="Push it")
    # The page is to miss that it was declined; and styles arrive late, as when nothing is kept yet.
    page.route("**/live?*", lambda route: route.fulfill(json={}))
    page.goto(f"/t/{task.id}")
    approve = page.get_by_role("button", name="Approve")
    expect(approve).to_be_enabled()
    machine.inbox.decline(task.id)
    approve.click()
    expect(page.get_by_text("It does not wait for your OK any more: it has failed.")).to_be_visible()
    page.get_by_role("link", name="Show the task").click()
    expect(page.locator("main > .facts .state")).to_have_text("Declined")
