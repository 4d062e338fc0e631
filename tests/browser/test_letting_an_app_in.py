"""The owner lets an app in, in a browser that holds the page to its own rules."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.chain import API_KEY
from tests.relay.conftest import Served, serve
from tests.relay.signing_in import App, query

pytestmark = pytest.mark.browser


@pytest.fixture(scope="session")
def base_url() -> str:
    """Relay and app are on ports of their own."""
    return "http://127.0.0.1:"


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Served]:
    with serve(tmp_path) as served:
        yield served


@pytest.fixture
def callback() -> Iterator[str]:
    """Where the app waits for the answer."""

    class Waiting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"You may close this page.")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Waiting)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/callback"
    server.shutdown()
    thread.join()
    server.server_close()


def asking(relay: Served, callback: str) -> App:
    app = App(relay, redirect=callback, name="A Rather Long Name Of Some Coding Assistant")
    app.register()
    return app


@pytest.mark.parametrize("javascript", [True, False])
@pytest.mark.parametrize("allowed", [["403"]])
def test_typing_the_key_lets_the_app_in(page: Page, relay: Served, callback: str) -> None:
    app = asking(relay, callback)
    page.goto(f"{relay.address}/consent?txn={app.number()}")
    expect(page.get_by_role("heading")).to_contain_text("A Rather Long Name Of Some Coding Assistant")
    page.get_by_label("The key of this relay").fill("not the key")
    page.get_by_role("button", name="Let it in").click()
    expect(page.get_by_role("alert")).to_contain_text("You can try 4 more times")
    page.get_by_label("The key of this relay").fill(API_KEY)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{callback}?*")
    expect(page.get_by_text("You may close this page.")).to_be_visible()
    assert app.token(code=query(page.url)["code"]).status_code == 200
    app.http.close()


def test_the_page_is_for_everybody_and_no_is_an_answer(
    page: Page, relay: Served, callback: str, check: Callable[[], None]
) -> None:
    app = asking(relay, callback)
    page.goto(f"{relay.address}/consent?txn={app.number()}")
    check()
    page.get_by_role("button", name="No").click()
    page.wait_for_url(f"{callback}?*")
    assert query(page.url)["error"] == "access_denied"
    app.http.close()
