"""The viewer with a hundred thousand tasks: its pages, its search, and what somebody sees in a browser."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, Page, sync_playwright

from tests.bench import pollers, proc
from tests.bench.folder import folder
from tests.bench.table import Row, percentile
from tests.browser.conftest import FLAGS, system_chromium
from tests.chain import ROOT, end, wait_until
from tests.viewer.machine import Machine
from worker import models

TASKS = 100_000
WORDS = ("billing", "timezone", "webhook", "garden", "notes", "backup", "deploy", "lint", "docs", "queue")
SEARCHES = ("billing", "timezone tests", "deploy lint", "t", "number 7", "zebra")
LINES, LINE_S = 40, 0.23
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
PAGES, EVERY_S, POLL_S = 300, 0.5, 8.0
MEGABYTE = "".join(f"\x1b[32mline {n:06}\x1b[0m of the output, as long as lines are\n" for n in range(18_000))


def measure() -> Iterator[Row]:
    """Every row of this section."""
    with folder() as place:
        machine = Machine(place)
        _fill()
        running = machine.started(title="Print something")
        long = machine.ended(title="A long story", printed=MEGABYTE[: 2**20])
        with _viewer(place, machine) as (port, pid):
            yield from _pages(port, pid)
            yield from _browser(f"http://127.0.0.1:{port}", machine, running, long)
            yield from _many(port, pid, running)
        machine.close()


def _fill() -> None:
    """A hundred thousand tasks over a year, a few kilobytes of output in each tenth."""
    dice, now = random.Random(1), datetime.now(UTC)
    rows = []
    for number in range(1, TASKS + 1):
        status = dice.choices(("completed", "failed", "cancelled"), (86, 11, 3))[0]
        action = dice.choice(("git", "shell", "claude_code"))
        asked = now - timedelta(minutes=5.2 * (TASKS - number) + 1)
        ended = asked + timedelta(seconds=dice.lognormvariate(1, 1))
        title = f"{dice.choice(WORDS).title()} {dice.choice(WORDS)} tests, number {number}"
        printed = "some output\n" * (300 if number % 10 == 0 else 5)
        result = json.dumps({"stdout": printed, "stderr": "", "returncode": 0, "headline": "All is well"})
        times = [str(at)[:26] for at in (asked, asked, ended)]
        rows.append(
            (
                f"bench-{number}",
                action,
                status,
                "{}",
                result,
                title,
                f"make {dice.choice(WORDS)}",
                number,
                *times,
            )
        )
    names = "id, action_type, status, input_data, output_data, title, preview, rev, created_at, started_at"
    names += ", completed_at, caller, digest, attempt, expires_at, reported_rev"
    text = f"INSERT INTO tasks ({names}) VALUES ({'?, ' * 11} 'phone', 'd', 1, '2027-01-01 00:00:00', 0)"
    with models.database.atomic():
        models.database.connection().executemany(text, rows)


@contextmanager
def _viewer(place: Path, machine: Machine) -> Iterator[tuple[int, int]]:
    """Port and process of a viewer with its default threads, whose index has taken in everything."""
    log = place / "viewer.log"
    environment = {**os.environ, **machine.environment, "VIEWER_PORT": "0", "PYTHONPATH": str(ROOT)}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "viewer"], cwd=place, env=environment, stdout=sink, stderr=sink
        )
    try:
        said = wait_until(lambda: (text := log.read_text()) and "\n" in text and text, "the viewer starts")
        port = int(said.split(":")[-1].rstrip(".\n"))
        asker = _Asker(port)
        wait_until(
            lambda: b"still being read" not in asker.ask("/?q=zebra")[1], "the index is ready", 120, look=1
        )
        yield port, process.pid
    finally:
        end(process)


class _Asker:
    """One kept-open connection, as a browser's."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port)

    def ask(self, path: str, *, packed: bool = False) -> tuple[float, bytes, int]:
        """Milliseconds, the body, and bytes on the wire."""
        begun = time.perf_counter()
        self._http.request("GET", path, headers={"Accept-Encoding": "gzip"} if packed else {})
        answer = self._http.getresponse()
        body = answer.read()
        taken = (time.perf_counter() - begun) * 1_000
        assert answer.status == 200, (path, answer.status)
        return taken, body, len(body) + sum(len(name) + len(value) + 4 for name, value in answer.getheaders())

    def many(self, *paths: str, times: int = 100) -> list[float]:
        """Milliseconds of each answer."""
        return [self.ask(paths[n % len(paths)], packed=True)[0] for n in range(times)]


def _pages(port: int, pid: int) -> Iterator[Row]:
    asker = _Asker(port)
    page = asker.ask("/")[1].decode()
    assets = {*re.findall(r'(?:href|src)="(/static/[^"]+)"', page)}
    # A browser fetches the icons of the home screen only when it puts the page there.
    first = {"/", *(path for path in assets if "icon-" not in path)}
    wire = sum(asker.ask(path, packed=True)[2] for path in first)
    yield Row("viewer: cold list on the wire", wire / 1024, "KB", 15)
    kinds = ("/", "/?status=failed", "/?action=git", "/?status=failed&action=git", "/?before=1000")
    # The first hundred after a start take half as long again: nothing is warm, the index is not done yet.
    asker.many(*kinds)
    lists = asker.many(*kinds)
    yield Row(f"viewer: list of {TASKS:,} tasks, p50".replace(",", " "), median(lists), "ms", 5)
    yield Row("viewer: the same, p95", percentile(lists, 0.95), "ms")
    # What a busy machine does not change.
    used = proc.cpu_seconds(pid)
    asker.many("/", times=200)
    yield Row("viewer: the same, processor time", (proc.cpu_seconds(pid) - used) * 5, "ms")
    found = asker.many(*(f"/?q={words.replace(' ', '+')}" for words in SEARCHES))
    yield Row("viewer: search, p50", median(found), "ms", 25)
    yield Row("viewer: the same, p95", percentile(found, 0.95), "ms")
    yield Row("viewer: stats of all time, counted anew", asker.ask("/stats?days=all")[0], "ms")
    yield Row("viewer: the same from what is kept, p50", median(asker.many("/stats?days=all")), "ms", 50)
    yield Row("viewer: an empty poll, p50", median(asker.many("/live?version=" + _version(page))), "ms")


def _version(page: str) -> str:
    found = re.search(r'data-version="([^"]+)"', page)
    assert found
    return found[1]


def _browser(base: str, machine: Machine, running: models.Task, long: models.Task) -> Iterator[Row]:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=system_chromium(), args=FLAGS)
        yield Row(
            "viewer: first paint of the list, cold, p50", median(_paints(browser, base + "/")), "ms", 300
        )
        page = browser.new_page()
        times = [_usable(page, f"{base}/t/{long.id}") for _ in range(5)]
        yield Row("viewer: 1 MB of output, its end usable, p50", median(times), "ms", 600)
        times = [_usable(page, f"{base}/t/{long.id}?output=all") for _ in range(5)]
        yield Row("viewer: 1 MB of output, all of it usable, p50", median(times), "ms", 600)
        lags = _lags(page, f"{base}/t/{running.id}", machine, running)
        yield Row("viewer: line written -> on screen, p50", median(lags), "ms", 200)
        yield Row("viewer: the same, p95", percentile(lags, 0.95), "ms")
        browser.close()


def _paints(browser: Browser, url: str) -> list[float]:
    found = []
    for _ in range(7):
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.goto(url)
        found.append(float(wait_until(lambda page=page: page.evaluate(PAINTED), "the page was painted")))
        context.close()
    return found


def _usable(page: Page, url: str) -> float:
    """Milliseconds until the page is built, its scripts have run, and a frame was drawn."""
    page.goto(url)
    drawn = "new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))"
    ready = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
    assert page.locator(".log pre").evaluate("log => log.textContent.length") > 40_000
    page.evaluate(drawn)
    return float(page.evaluate(ready))


def _lags(page: Page, url: str, machine: Machine, running: models.Task) -> list[float]:
    """Milliseconds from a line in the file to the same line on the screen, by the same clock."""
    page.goto(url)
    page.evaluate("""window.seen = {}; new MutationObserver(() => {
        for (const [, n] of document.querySelector('.log').textContent.matchAll(/mark (\\d+)\\n/g))
            window.seen[n] ??= Date.now();
    }).observe(document.querySelector('main'), {childList: true, subtree: true, characterData: true})""")
    written = {}
    for number in range(LINES):
        written[number] = time.time() * 1_000
        machine.prints(running, f"mark {number}\n")
        page.wait_for_timeout(LINE_S * 1_000)
    seen = wait_until(
        lambda: len(s := page.evaluate("window.seen")) == LINES and s, "every line was seen", look=0.3
    )
    return [float(seen[str(number)]) - at for number, at in written.items()][5:]


def _many(port: int, pid: int, running: models.Task) -> Iterator[Row]:
    asker = _Asker(port)
    live = f"/t/{running.id}/live?rev={running.rev}&attempt=1"
    news = json.loads(asker.ask(live)[1])
    quiet = f"{live}&from={news['from']}&seen={news['seen']}&sgr={news['sgr']}"
    paths = [quiet, "/live?version=" + _version(asker.ask("/")[1].decode())]
    used = proc.cpu_seconds(pid)
    taken = pollers.run(port, paths, pages=PAGES, every=EVERY_S, seconds=POLL_S)
    what = f"viewer: {PAGES} open pages, {len(taken) / POLL_S:.0f} polls/s"
    cost = (proc.cpu_seconds(pid) - used) * 1_000 / len(taken)
    yield Row(f"{what}, p50", percentile(taken, 0.5), "ms")
    yield Row(f"{what}, p95", percentile(taken, 0.95), "ms", 100)
    yield Row("viewer: the same, processor time of a poll", cost, "ms")
