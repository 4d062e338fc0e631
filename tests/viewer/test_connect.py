"""Signing in, the page Phone, and who may see and do what: browsers here, browsers elsewhere, strangers."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
import segno
from flask import url_for
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from relay.protocol import Status
from tests.viewer.conftest import Clock
from tests.viewer.machine import Machine
from viewer import connect, guard
from viewer.devices import TRIES, Devices
from viewer.settings import Settings

HERE = {"Origin": "http://localhost"}
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Mobile/15E148 Safari/604.1"
ELSEWHERE = {
    "over Wi-Fi": ({"Host": "lan.example:5001"}, "192.168.1.7"),
    "over Tailscale": ({"Host": "laptop.example", "X-Forwarded-For": "100.64.0.9"}, "127.0.0.1"),
    "with a forged name over Wi-Fi": ({"Host": "127.0.0.1:5001"}, "192.168.1.7"),
    "with a forged name by proxy": ({"Host": "127.0.0.1:5001", "X-Forwarded-For": "10.0.0.9"}, "127.0.0.1"),
}  # fmt: skip


def sign_in(browser: FlaskClient, code: str, **form: str) -> TestResponse:
    return browser.post("/login", data={"code": code, **form}, headers={**HERE, "User-Agent": PHONE})


def retry(browser: FlaskClient, task_id: str, **headers: str) -> TestResponse:
    return browser.post(f"/t/{task_id}/retry", headers={**HERE, **headers})


def test_a_visitor_here_may_look_and_do_nothing(visitor: FlaskClient, machine: Machine) -> None:
    task = machine.needs_ok(title="Push it")
    page = visitor.get(f"/t/{task.id}").text
    assert "May this run on your machine?" in page
    assert "<form" not in page
    assert f'<a href="/login?next=/t/{task.id}">connect this browser</a> first' in page
    for button in ("approve", "decline", "stop", "retry"):
        answer = visitor.post(f"/t/{task.id}/{button}", headers=HERE)
        assert answer.status_code == 403
        assert "<h1>Connect this browser first</h1>" in answer.text
        assert f'href="/login?next=/t/{task.id}"' in answer.text
    assert machine.current(task.id).status == Status.AWAITING_APPROVAL


@pytest.mark.parametrize(("end", "aim"), [(False, "To stop it, "), (True, "To run it again, ")])
def test_it_is_said_what_a_connected_browser_could_do(
    visitor: FlaskClient, client: FlaskClient, machine: Machine, aim: str, *, end: bool
) -> None:
    task = machine.ended(returncode=1) if end else machine.started()
    assert aim in visitor.get(f"/t/{task.id}").text
    assert "connect this browser" not in client.get(f"/t/{task.id}").text
    finished = machine.ended()
    assert "connect this browser" not in visitor.get(f"/t/{finished.id}").text


def test_a_script_gets_its_refusal_as_json(visitor: FlaskClient, machine: Machine) -> None:
    task = machine.ended(returncode=1)
    answer = retry(visitor, task.id, **{"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"})
    assert (answer.status_code, answer.is_json) == (403, True)
    assert "only a connected browser" in answer.json["error"]


@pytest.mark.parametrize("way", ELSEWHERE)
def test_from_elsewhere_nothing_can_be_read_without_signing_in(
    visitor: FlaskClient, machine: Machine, way: str
) -> None:
    task = machine.ended(title="Secret title", returncode=1, printed="secret output")
    headers, peer = ELSEWHERE[way]
    for path in ("/", "/events", "/connect", f"/t/{task.id}", f"/t/{task.id}/raw", "/nowhere", "/t/nobody"):
        answer = visitor.get(path, headers=headers, environ_base={"REMOTE_ADDR": peer})
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/login?next={path}"), path
        assert "ecret" not in answer.text
    for path in ("/api/tasks", f"/api/task/{task.id}", "/live?rev=0", f"/t/{task.id}/live"):
        answer = visitor.get(path, headers=headers, environ_base={"REMOTE_ADDR": peer})
        assert (answer.status_code, set(answer.json)) == (403, {"error"}), path
    for path in ("/login", "/static/viewer.css", "/manifest.webmanifest"):
        assert visitor.get(path, headers=headers, environ_base={"REMOTE_ADDR": peer}).status_code == 200, path


@pytest.mark.parametrize("way", ["over Wi-Fi", "over Tailscale"])
def test_a_connected_device_elsewhere_reads_and_acts(
    client: FlaskClient, machine: Machine, settings: Settings, way: str
) -> None:
    headers, peer = ELSEWHERE[way]
    token = client.get_cookie(settings.cookie)
    assert token is not None
    client.set_cookie(settings.cookie, token.value, domain=headers["Host"].partition(":")[0])
    origin = "http://lan.example:5001" if "Wi-Fi" in way else "https://laptop.example"
    task = machine.ended(title="Make it", returncode=1)
    assert "Make it" in client.get("/", headers=headers, environ_base={"REMOTE_ADDR": peer}).text
    for foreign in ("null", "http://laptop.example", "http://lan.example", "http://localhost:5001"):
        answer = client.post(f"/t/{task.id}/retry", headers={**headers, "Origin": foreign})
        assert answer.status_code == 403, foreign
    answer = client.post(
        f"/t/{task.id}/retry", headers={**headers, "Origin": origin}, environ_base={"REMOTE_ADDR": peer}
    )
    assert answer.status_code == 303


def test_a_cookie_of_another_port_or_a_made_up_one_is_worth_nothing(
    visitor: FlaskClient, client: FlaskClient, machine: Machine, settings: Settings
) -> None:
    task = machine.ended(returncode=1)
    token = client.get_cookie(settings.cookie)
    assert token is not None
    visitor.set_cookie("ai_webhook_5002", token.value)
    visitor.set_cookie(settings.cookie, token.value[:-1])
    assert retry(visitor, task.id).status_code == 403


def test_opening_a_link_uses_up_nothing_and_the_button_connects(
    visitor: FlaskClient, devices: Devices, machine: Machine
) -> None:
    code = devices.new_code()
    for _ in range(3):
        page = visitor.get(
            f"/login?code={code}&next=/t/a", headers={"User-Agent": PHONE, "Host": "127.0.0.1"}
        )
        assert "Connect this phone?" in page.text
        assert f'name="code" value="{code}"' in page.text
        assert page.headers["Cache-Control"] == "no-store"
        visitor.head(f"/login?code={code}")
    assert devices.all() == []
    answer = sign_in(visitor, code, next="/t/a")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/t/a")
    cookie = answer.headers["Set-Cookie"]
    assert re.match(
        r"ai_webhook_5001=[\w-]{43}; .*Max-Age=34560000; HttpOnly; Path=/; SameSite=Strict$", cookie
    )
    assert [one.name for one in devices.all()] == ["Safari on iPhone"]
    assert visitor.get("/login?next=/events").headers["Location"] == "/events"
    assert retry(visitor, machine.ended(returncode=1).id).status_code == 303


def test_localhost_leads_to_the_name_under_which_browsers_are_connected(visitor: FlaskClient) -> None:
    answer = visitor.get("/login?next=/t/a", headers={"Host": "localhost:5001"})
    assert answer.headers["Location"] == "http://127.0.0.1:5001/login?next=/t/a"


def test_over_https_the_cookie_never_travels_without(visitor: FlaskClient, devices: Devices) -> None:
    answer = visitor.post(
        "/login",
        data={"code": devices.new_code()},
        headers={
            "Host": "laptop.example",
            "Origin": "https://laptop.example",
            "X-Forwarded-For": "100.64.0.9",
        },
    )
    assert "; Secure; HttpOnly;" in answer.headers["Set-Cookie"]


def test_wrong_codes_are_told_kindly_and_the_sixth_is_not_even_looked_at(
    visitor: FlaskClient, devices: Devices
) -> None:
    code = devices.new_code()
    for number in range(TRIES):
        answer = sign_in(visitor, ["", "AAAA-AAAA", "x" * 9000, "é", "0"][number], next="/t/a")
        assert answer.status_code == 403
        assert "This code does not work" in answer.text
        assert 'name="next" value="/t/a"' in answer.text
    answer = sign_in(visitor, code)
    assert answer.status_code == 429
    assert "too many wrong codes" in answer.text
    assert sign_in(visitor, devices.new_code()).status_code == 303


def test_used_and_old_codes_are_wrong(visitor: FlaskClient, devices: Devices, clock: Clock) -> None:
    used, old = devices.new_code(), devices.new_code()
    assert sign_in(visitor, used).status_code == 303
    visitor.delete_cookie("ai_webhook_5001")
    assert sign_in(visitor, used).status_code == 403
    clock.time += timedelta(minutes=11)
    assert sign_in(visitor, old).status_code == 403


def test_a_link_that_is_over_says_so_at_once(visitor: FlaskClient, devices: Devices, clock: Clock) -> None:
    used, old = devices.new_code(), devices.new_code()
    assert sign_in(visitor, used).status_code == 303
    visitor.delete_cookie("ai_webhook_5001")
    clock.time += timedelta(minutes=11)
    for code in (used, old, "AAAA-AAAA", "x"):
        page = visitor.get(f"/login?code={code}&next=/t/a", headers={"Host": "127.0.0.1"}).text
        assert "This link does not work any more." in page
        assert "Connect this browser?" not in page
        assert 'name="next" value="/t/a"' in page
    # A look is no try: whoever has a good code is not locked out by it.
    assert sign_in(visitor, devices.new_code()).status_code == 303


def test_nobody_finds_a_code_by_looking_at_links(visitor: FlaskClient, devices: Devices) -> None:
    code = devices.new_code()
    for _ in range(30):
        page = visitor.get("/login?code=AAAA-AAAA", headers={"Host": "127.0.0.1"}).text
    assert "Connect this browser?" in page
    assert sign_in(visitor, code).status_code == 303


def test_that_a_browser_is_connected_is_said_once(
    visitor: FlaskClient, client: FlaskClient, devices: Devices
) -> None:
    words = "This browser is connected."
    assert words not in visitor.get("/").text
    sign_in(visitor, devices.new_code())
    assert words not in client.get("/").text
    assert visitor.get("/live").status_code == 200
    assert words in visitor.get("/").text
    assert words not in visitor.get("/").text


def test_nobody_is_signed_in_from_another_page(visitor: FlaskClient, devices: Devices) -> None:
    code = devices.new_code()
    for origin in ("https://evil.example", "null", "http://localhost:3000", "https://laptop.example"):
        assert visitor.post("/login", data={"code": code}, headers={"Origin": origin}).status_code == 403
    assert visitor.post("/login", data={"code": code}).status_code == 403
    assert devices.all() == []


def test_the_page_phone_shows_the_ways_and_who_is_connected(client: FlaskClient, devices: Devices) -> None:
    devices.connect(devices.new_code(), address="x", name="Safari on iPhone")
    page = client.get("/connect").text
    assert page.count("Connect a device</button>") == 2
    assert "https://laptop.example" in page
    assert 'aria-label="Forget Safari on iPhone"' in page
    assert page.count("Sign out</button>") == 1
    assert "VIEWER_HOST=" not in page


def test_a_code_for_a_device_is_made_by_a_button_only(
    client: FlaskClient, visitor: FlaskClient, devices: Devices
) -> None:
    form = {"address": "https://laptop.example"}
    assert client.get("/connect/code").status_code == 405
    assert visitor.post("/connect/code", data=form, headers=HERE).status_code == 403
    assert (
        client.post("/connect/code", data={"address": "https://evil.example"}, headers=HERE).status_code
        == 400
    )
    answer = client.post("/connect/code", data=form, headers=HERE)
    assert answer.headers["Cache-Control"] == "no-store"
    code = re.search(r'<p class="code">(.{9})</p>', answer.text)
    assert code is not None
    link = segno.make(f"https://laptop.example/login?code={code[1]}", error="m")
    assert link.svg_data_uri(scale=8, border=3, light="#fff") in html.unescape(answer.text)
    assert sign_in(visitor, code[1]).status_code == 303


def test_forget_and_sign_out(
    client: FlaskClient, visitor: FlaskClient, devices: Devices, machine: Machine
) -> None:
    task = machine.ended(returncode=1)
    sign_in(visitor, devices.new_code())
    phone, mine = sorted(devices.all(), key=lambda one: one.name == "Test browser")
    for number in ("", "x", "-1", "9" * 30, "٣"):
        assert client.post("/connect/forget", data={"device": number}, headers=HERE).status_code == 400
    assert (
        client.post("/connect/forget", data={"device": phone.id}, headers=HERE).headers["Location"]
        == "/connect"
    )
    assert retry(visitor, task.id).status_code == 403
    answer = client.post("/connect/forget", data={"device": mine.id}, headers=HERE)
    assert answer.headers["Location"] == "/login"
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert retry(client, task.id).status_code == 403


def test_every_post_that_there_is_needs_a_connected_browser(visitor: FlaskClient, machine: Machine) -> None:
    """Also those that somebody will add."""
    task = machine.ended(returncode=1)
    fill = {"task_id": task.id}
    rules = [rule for rule in visitor.application.url_map.iter_rules() if "POST" in (rule.methods or ())]
    with visitor.application.test_request_context():
        addresses = {
            rule.endpoint: url_for(rule.endpoint, **{name: fill.get(name, 1) for name in rule.arguments})
            for rule in rules
        }
    assert len(addresses) >= 7
    for endpoint, address in addresses.items():
        answer = visitor.post(address, headers=HERE)
        is_open = endpoint in {"connect.let_in", *guard._FOR_READERS}
        assert ("Connect this browser first" in answer.text) != is_open, endpoint
        assert visitor.post(address, headers={"Origin": "http://localhost:3000"}).status_code == 403
    pages = {one for one in guard._FOR_EVERYBODY if not one.startswith("asset ")}
    assert pages == {"static", "pages.manifest", "connect.sign_in", "connect.let_in"}
    assert {"pages.viewed"} == guard._FOR_READERS


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (PHONE, "Safari on iPhone"),
        ("Mozilla/5.0 (Linux; Android 16) Chrome/156.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/156.0 Safari/537.36 Edg/156.0", "Edge on Windows"),
        ("curl/8", "A browser"),
        ("", "A browser"),
    ],
)
def test_devices_are_named_for_what_they_say_they_are(agent: str, name: str) -> None:
    assert connect.device_name(agent) == name
