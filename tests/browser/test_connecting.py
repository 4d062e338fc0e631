"""Getting connected: with the link, with a typed code, from another device; and what a visitor meets."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ELSEWHERE, REBOUND
from tests.viewer.machine import Machine
from viewer.devices import TRIES, Devices

pytestmark = pytest.mark.browser


@pytest.fixture
def connected() -> bool:
    return False


@pytest.fixture
def elsewhere(base_url: str) -> str:
    """The viewer's address as another device has it."""
    return base_url.replace("127.0.0.1", ELSEWHERE)


@pytest.mark.parametrize("device", ["phone", "laptop"])
def test_the_link_connects_and_what_waited_can_be_answered(
    page: Page, machine: Machine, devices: Devices, device: str
) -> None:
    task = machine.needs_ok(title="Push it")
    page.goto(f"/t/{task.id}")
    expect(page.get_by_text("To answer, connect this browser first.")).to_be_in_viewport()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    code = devices.new_code()
    page.goto(f"/login?code={code}")
    page.reload()
    expect(page.get_by_role("heading", name="Connect this browser?")).to_be_visible()
    page.get_by_role("button", name="Connect this browser").click()
    expect(page).to_have_url("/")
    welcome = page.get_by_text("This browser is connected.")
    expect(welcome).to_be_in_viewport()
    # Also when the list changes under it.
    machine.ended(title="made meanwhile")
    expect(page.get_by_text("made meanwhile")).to_be_visible()
    expect(welcome).to_be_visible()
    page.get_by_role("link", name="Push it").click()
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("main > .facts .state")).to_have_text("Queued")
    expect(welcome).to_have_count(0)
    page.context.clear_cookies()
    page.goto(f"/login?code={code}")
    expect(page.get_by_role("alert")).to_contain_text("This link does not work any more.")


@pytest.mark.parametrize("javascript", [False])
def test_a_typed_code_leads_back_to_where_one_was(
    page: Page, machine: Machine, devices: Devices, allowed: list[str]
) -> None:
    allowed.append("403 (FORBIDDEN)")
    task = machine.ended(title="Make it", returncode=1)
    page.goto(f"/t/{task.id}")
    page.get_by_role("link", name="connect this browser").click()
    expect(page.get_by_text("make login")).to_be_visible()
    page.get_by_label("Code").fill("AAAA-AAAA")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("This code does not work.")
    page.get_by_label("Code").fill(devices.new_code().lower().replace("-", " "))
    page.get_by_role("button", name="Connect this browser").click()
    expect(page.get_by_role("heading", name="Make it")).to_be_visible()
    page.get_by_role("link", name="Run again").click()
    page.get_by_role("button", name="Run again").click()
    expect(page.locator("main > .facts")).to_contain_text("try 2")


def test_after_five_wrong_codes_it_says_what_helps(page: Page, devices: Devices, allowed: list[str]) -> None:
    allowed += ["403 (FORBIDDEN)", "429 (TOO MANY REQUESTS)"]
    page.goto("/login")
    for _ in range(TRIES + 1):
        page.get_by_label("Code").fill("AAAA-AAAA")
        page.get_by_role("button").click()
    expect(page.get_by_role("alert")).to_contain_text("Make a new one, or wait ten minutes.")
    page.get_by_label("Code").fill(devices.new_code())
    page.get_by_role("button").click()
    expect(page).to_have_url("/")


def test_another_device_sees_nothing_until_it_scans_and_nothing_once_it_is_forgotten(
    page: Page, machine: Machine, devices: Devices, elsewhere: str
) -> None:
    page.goto(f"/login?code={devices.new_code()}")
    page.get_by_role("button").click()
    expect(page).to_have_url("/")
    page.goto("/connect")
    page.get_by_role("button", name="Connect a device").click()
    code = page.locator("p.code").inner_text()
    assert page.get_by_role("img", name="QR code").evaluate("picture => picture.naturalWidth") > 100

    machine.ended(title="Make it", returncode=1)
    page.goto(f"{elsewhere}/?status=failed")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_role("navigation").get_by_role("link")).to_have_count(1)
    page.get_by_label("Code").fill(code)
    page.get_by_role("button").click()
    expect(page).to_have_url(f"{elsewhere}/?status=failed")
    page.get_by_role("link", name="Make it").click()
    page.get_by_role("link", name="Run again").click()
    page.get_by_role("dialog").get_by_role("button", name="Run again").click()
    expect(page.locator("main > .facts")).to_contain_text("try 2")

    page.goto("/connect")
    expect(page.get_by_role("button", name="Forget")).to_have_count(1)
    page.get_by_role("button", name="Forget").click()
    expect(page.get_by_role("button", name="Forget")).to_have_count(0)
    page.goto(elsewhere)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto("/connect")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_page_with_the_code_shows_who_came_in(page: Page, devices: Devices) -> None:
    page.goto(f"/login?code={devices.new_code()}")
    page.get_by_role("button", name="Connect this browser").click()
    expect(page).to_have_url("/")
    page.goto("/connect")
    page.get_by_role("button", name="Connect a device").click()
    code = page.locator("p.code").inner_text()
    devices.connect(code, address="192.168.1.7", name="Safari on iPhone")
    expect(page.get_by_text("Safari on iPhone")).to_be_in_viewport()
    expect(page).to_have_url("/connect#connected")


def test_an_open_page_asks_to_sign_in_when_its_device_is_forgotten(
    page: Page, machine: Machine, devices: Devices, allowed: list[str], elsewhere: str
) -> None:
    allowed.append("403 (FORBIDDEN)")
    task = machine.started(title="Make it")
    page.goto(f"{elsewhere}/login?code={devices.new_code()}&next=/t/{task.id}")
    page.get_by_role("button").click()
    expect(page.get_by_role("heading", name="Make it")).to_be_visible()
    devices.forget(devices.all()[0].id)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_link_on_somebody_elses_page_leads_in_as_well(
    page: Page, machine: Machine, devices: Devices, base_url: str, elsewhere: str
) -> None:
    task = machine.ended(title="Make it", returncode=1)
    page.goto(f"/login?code={devices.new_code()}")
    page.get_by_role("button").click()
    expect(page).to_have_url("/")
    page.goto(f"{elsewhere}/login")
    page.evaluate(
        "address => { document.body.innerHTML = `<a href=${address}>Look</a>`; }", f"{base_url}/t/{task.id}"
    )
    page.get_by_role("link", name="Look").click()
    expect(page.get_by_role("link", name="Run again")).to_be_visible()
    # By its other name this machine is another one for a browser; the way back is one tap.
    page.goto(f"{base_url.replace('127.0.0.1', 'localhost')}/t/{task.id}")
    page.get_by_role("link", name="connect this browser").click()
    expect(page).to_have_url(f"/t/{task.id}")
    expect(page.get_by_role("link", name="Run again")).to_be_visible()


def test_a_name_that_was_bent_to_point_here_shows_nothing(
    page: Page, machine: Machine, base_url: str, allowed: list[str]
) -> None:
    allowed += ["400 (BAD REQUEST)", REBOUND, "Cross-Origin-Opener-Policy"]
    machine.ended(title="Make it")
    page.goto(base_url.replace("127.0.0.1", REBOUND))
    expect(page.get_by_text("does not know the name by which you called it")).to_be_visible()
    expect(page.get_by_text("Make it")).to_have_count(0)


def with_devices(page: Page, devices: Devices) -> str:
    devices.connect(devices.new_code(), address="x", name="Safari on iPhone")
    page.goto(f"/login?code={devices.new_code()}")
    page.get_by_role("button").click()
    expect(page).to_have_url("/")
    return "/connect"


def with_code(page: Page, devices: Devices) -> str:
    page.goto(with_devices(page, devices))
    page.get_by_role("button", name="Connect a device").click()
    expect(page.locator("p.code")).to_be_visible()
    return ""


def first_page(page: Page, devices: Devices) -> str:
    page.goto(f"/login?code={devices.new_code()}")
    page.get_by_role("button").click()
    expect(page.get_by_text("This browser is connected.")).to_be_visible()
    return ""


PAGES: dict[str, Callable[[Page, Devices], str]] = {
    "sign in": lambda page, devices: "/login",
    "the link": lambda page, devices: f"/login?code={devices.new_code()}",
    "a link that is over": lambda page, devices: "/login?code=ABCD-EFGH",
    "the first page": first_page,
    "the page Phone for a visitor": lambda page, devices: "/connect",
    "the page Phone": with_devices,
    "a code for a device": with_code,
}


@pytest.mark.parametrize("make", PAGES.values(), ids=PAGES)
def test_everybody_can_get_in(
    page: Page, devices: Devices, check: Callable[[], None], make: Callable[[Page, Devices], str]
) -> None:
    if address := make(page, devices):
        page.goto(address)
    check()


def test_everybody_can_use_what_a_visitor_sees(
    page: Page, machine: Machine, devices: Devices, check: Callable[[], None]
) -> None:
    page.goto(f"/t/{machine.needs_ok(title='Push it', command='git push && ./deploy.sh').id}")
    check()
