"""A real browser on a real viewer: a process of its own, on records that the test writes.

A page fails its test when it logs an error, throws, or asks another host.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import ConsoleMessage, Page, Request

from tests.chain import end, free_port, wait_until
from tests.viewer.machine import Machine
from viewer.devices import Devices
from viewer.settings import Settings

ELSEWHERE, REBOUND = "laptop.test", "rebound.test"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1, MAP {REBOUND} 127.0.0.1",
]  # fmt: skip
DEVICES = {
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "has_touch": True,
        "is_mobile": True,
    },
    "laptop": {"viewport": {"width": 1280, "height": 800}},
}
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

RUN_AXE = "rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})"
STICKING_OUT = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
TOO_SMALL = """selector => [...document.querySelectorAll(selector)]
    .filter(one => one.checkVisibility() && one.getBoundingClientRect().height < 43.5)
    .map(one => one.outerHTML)"""
# Everything with a place of its own; links inside a sentence may be as small as its letters.
TARGETS = "nav a, button, .button, summary, a.card, .back, [type=search]"


def system_chromium() -> str | None:
    names = (os.environ.get("CHROMIUM"), "chromium-headless-shell", "chromium", "google-chrome")
    return next((path for name in names if name and (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    path = system_chromium()
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Chromium on this machine; see .ci/run")
    return {**browser_type_launch_args, "executable_path": path, "args": FLAGS}


class Server:
    """A viewer that can be stopped, and started again at the same address."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        made = Machine(folder)
        made.close()
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        # The same viewer under another name, as a phone meets it: a browser that calls it so must sign in.
        access = {"VIEWER_PORT": str(port), "VIEWER_ORIGINS": f"http://{ELSEWHERE}:{port}"}
        self._environment = {**os.environ, **made.environment, **access, "PYTHONPATH": str(root)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Nothing, when it runs."""
        if self._process is not None:
            return
        log = self.folder / "viewer.log"
        with log.open("wb") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "viewer"],
                cwd=self.folder,
                env=self._environment,
                stdout=sink,
                stderr=sink,
            )
        said = wait_until(lambda: log.read_text() if "\n" in log.read_text() else "", "the viewer starts")
        assert said.startswith(f"The viewer is at {self.address}."), said

    def stop(self) -> None:
        """At once, in the midst of what it does."""
        if self._process is not None:
            end(self._process)
            self._process = None


@pytest.fixture(scope="session")
def running_server(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(root, tmp_path_factory.mktemp("viewer"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def server(running_server: Server) -> Iterator[Server]:
    """The running viewer, for a test that stops it."""
    yield running_server
    running_server.start()


@pytest.fixture(scope="session")
def viewer(running_server: Server) -> tuple[str, Path]:
    """The address of a running viewer, and the folder with its records."""
    return running_server.address, running_server.folder


@pytest.fixture
def machine(viewer: tuple[str, Path]) -> Iterator[Machine]:
    """The records behind the viewer, empty again."""
    made = Machine(viewer[1])
    made.forget_everything()
    yield made
    made.close()


@pytest.fixture(scope="session")
def base_url(viewer: tuple[str, Path]) -> str:
    return viewer[0]


@pytest.fixture
def device() -> str:
    return "phone"


@pytest.fixture
def javascript() -> bool:
    return True


@pytest.fixture
def browser_context_args(device: str, base_url: str, *, javascript: bool) -> dict[str, Any]:
    return {
        **DEVICES[device],
        "base_url": base_url,
        "java_script_enabled": javascript,
        "reduced_motion": "reduce",
        "permissions": ["clipboard-read", "clipboard-write"],
    }


@pytest.fixture
def allowed() -> list[str]:
    """Words of console lines that a test expects."""
    return []


@pytest.fixture
def devices(viewer: tuple[str, Path]) -> Iterator[Devices]:
    """Who is connected to the viewer: nobody."""
    made = Devices(viewer[1] / "tasks.devices.db")
    for device in made.all():
        made.forget(device.id)
    yield made
    made.close()


@pytest.fixture
def connected() -> bool:
    """Whether the browser has been connected, so that it may press buttons."""
    return True


@pytest.fixture
def page(
    page: Page, machine: Machine, base_url: str, allowed: list[str], devices: Devices, *, connected: bool
) -> Iterator[Page]:
    if connected:
        token = devices.remember("Test browser")
        name = Settings.read({"VIEWER_PORT": base_url.rpartition(":")[2]}).cookie
        page.context.add_cookies([{"name": name, "value": token, "url": base_url, "sameSite": "Strict"}])
    problems: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not any(word in message.text for word in allowed):
            problems.append(message.text)

    def on_request(request: Request) -> None:
        names = [base_url.replace("127.0.0.1", name) for name in (ELSEWHERE, REBOUND, "localhost")]
        if not request.url.startswith((base_url, *names, "data:", "about:")):
            problems.append(f"asked {request.url}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", on_request)
    page.set_default_timeout(10_000)
    yield page
    assert problems == []


@pytest.fixture
def check(page: Page) -> Callable[[], None]:
    """Asserts what holds for every page, on a phone and on a laptop, in light and in dark: nothing
    sticks out, everything can be hit with a thumb, and axe finds nothing."""

    def inspect() -> None:
        page.evaluate(AXE)
        for device in ("phone", "laptop"):
            page.set_viewport_size(DEVICES[device]["viewport"])  # type: ignore[arg-type]
            # Or what the head of the page happens to cover would count as too small to hit.
            page.evaluate("scrollTo(0, 0)")
            assert page.evaluate(STICKING_OUT) <= 0, device
            assert page.evaluate(TOO_SMALL, TARGETS) == [], device
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                found = page.evaluate(RUN_AXE, RULES)["violations"]
                broken = [
                    (one["id"], one["nodes"][0]["target"], one["nodes"][0]["failureSummary"]) for one in found
                ]
                assert broken == [], (device, scheme)

    return inspect
