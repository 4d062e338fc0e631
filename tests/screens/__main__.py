"""`python -m tests.screens`: pictures of each page on a phone and on a laptop, into docs/screens/.

From a machine that looks the same each time, at a time that stands still."""

from __future__ import annotations

import fcntl
import io
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from waitress.server import create_server

from tests.browser.conftest import DEVICES, FLAGS, system_chromium
from tests.chain import ROOT
from tests.screens.seed import Clock, seed
from tests.viewer.machine import Machine
from viewer.app import create_app
from viewer.devices import Devices
from viewer.settings import Settings

NOW = datetime(2026, 11, 25, 14, 28, tzinfo=UTC)
FOLDER = ROOT / "docs" / "screens"
MOST_BYTES = 700 * 1024
LOOKS = {"phone": "light", "laptop": "dark"}
COLOURS, OFTEN = 128, 16
PAGES = {
    "tasks": "/",
    "search": "/?q=timezone",
    "failed": "/t/{failed}",
    "run-again": "/t/{failed}",
    "run-all-again": "/retry?status=failed&action=shell",
    "answer": "/t/{answer}",
    "running": "/t/{running}",
    "needs-your-ok": "/t/{asks}",
    "stats": "/stats",
    "events": "/events",
    "connect": "/connect",
}
SIGN_IN = "sign-in"
STRIP = ("tasks", "needs-your-ok", "running", "answer")
"""Side by side, for the README."""


def main() -> None:
    os.environ["TZ"] = "UTC"
    time.tzset()
    if (chromium := system_chromium()) is None:
        sys.exit("No Chromium on this machine; see .ci/run")
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        _viewer(Path(folder)) as (base, ids, cookie),
        sync_playwright() as play,
    ):
        browser = play.chromium.launch(executable_path=chromium, args=FLAGS)
        for device, scheme in LOOKS.items():
            pictures = dict(_pictures(browser, base, ids, cookie, device, scheme))
            for name, image in pictures.items():
                _save(image, FOLDER / f"{name}-{device}.webp")
            if device == "phone":
                _save(_side_by_side([pictures[name] for name in STRIP]), FOLDER / "phone.webp")
        browser.close()
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    print(f"{len(list(FOLDER.iterdir()))} pictures in docs/screens/, {size / 1024:.0f} KB")
    if size > MOST_BYTES:
        sys.exit(f"That is more than {MOST_BYTES // 1024} KB")


@contextmanager
def _viewer(folder: Path) -> Iterator[tuple[str, dict[str, str], tuple[str, str]]]:
    """The address of a viewer on a machine where all is well, the ids of tasks worth a look, and the
    cookie of a connected browser."""
    machine = Machine(folder)
    ids = seed(machine, NOW)
    lock = os.open(folder / "tasks.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    machine.inbox.tell_link("laptop", "0.1.0", is_open=True)
    devices = Devices(folder / "tasks.devices.db", Clock(NOW - timedelta(days=3)))
    devices.remember("Safari on iPhone")
    settings = Settings.read({"VIEWER_ORIGINS": "https://laptop.example.ts.net"})
    cookie = settings.cookie, devices.remember("Chrome on Linux")
    app = create_app(machine.inbox, devices, settings, Clock(NOW))
    server = create_server(app, host="127.0.0.1", port=0, threads=8)
    threading.Thread(target=server.run, daemon=True).start()
    yield f"http://127.0.0.1:{server.effective_port}", ids, cookie
    server.close()
    devices.close()
    os.close(lock)
    machine.close()


def _pictures(
    browser: Browser, base: str, ids: dict[str, str], cookie: tuple[str, str], device: str, scheme: str
) -> Iterator[tuple[str, Image.Image]]:
    context = browser.new_context(
        **DEVICES[device],
        base_url=base,
        color_scheme=scheme,  # type: ignore[arg-type]  # one of the two
        reduced_motion="reduce",
        timezone_id="UTC",
        locale="en-GB",
    )
    page = context.new_page()
    page.clock.set_fixed_time(NOW)
    page.goto("/login")
    yield SIGN_IN, _shot(page, SIGN_IN)
    name, value = cookie
    context.add_cookies([{"name": name, "value": value, "url": base, "sameSite": "Strict"}])
    for name, path in PAGES.items():
        page.goto(path.format(**ids))
        yield name, _shot(page, name)
    context.close()


def _shot(page: Page, name: str) -> Image.Image:
    if name == "run-again":
        page.get_by_role("link", name="Run again").click()
    page.wait_for_load_state("networkidle")
    return Image.open(io.BytesIO(page.screenshot()))


def _side_by_side(images: list[Image.Image]) -> Image.Image:
    gap, height = 24, images[0].height
    sheet = Image.new("RGB", (sum(image.width + gap for image in images) - gap, height), "#d0d0ca")
    for number, image in enumerate(images):
        sheet.paste(image, (number * (image.width + gap), 0))
    return sheet.resize((sheet.width // 2, sheet.height // 2), Image.Resampling.LANCZOS)


def _save(image: Image.Image, target: Path) -> None:
    """Pages have few colours: a palette without loss is smaller, and sharper, than a photograph. The
    grounds keep theirs exactly, and the rare ones, as in output, get their share."""
    plain = image.convert("RGB")
    often = sorted(plain.getcolors(plain.width * plain.height) or [], reverse=True)[:OFTEN]
    rare = plain.quantize(COLOURS - OFTEN, Image.Quantize.MAXCOVERAGE).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in often for part in colour] + rare)  # type: ignore[misc]  # RGB
    few = plain.quantize(palette=palette, dither=Image.Dither.NONE)
    few.convert("RGB").save(target, lossless=True, quality=60, method=4)


if __name__ == "__main__":
    main()
