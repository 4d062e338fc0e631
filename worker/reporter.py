"""Reports leave from the rows: whatever the relay has not got is sent until it has it.

Nothing is kept in memory and nothing is queued, so a report survives every crash, on either
side, and a relay that is away for a day gets all of it when it is back.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import urllib3

from relay.protocol import MAX_BODY_BYTES, MAX_OUTPUT_CHARS, Report, Status
from worker import models, moves, questions
from worker.away import Away, away
from worker.clock import wall_clock
from worker.settings import Settings

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often the rows are looked at when nobody rings: other processes write rows, too."""
RUNNING_FOR = timedelta(seconds=1)
"""A task is reported as running only when it has run for so long."""
TAIL_S = 2.0
"""How often a running task that prints is reported."""
MAX_PAUSE_S = 15.0
GAP_S = 0.05
"""Between two requests: under load each carries more, and what comes alone leaves at once."""
_BATCH = 25  # rows hold what was printed, so more would fill the memory
_TAIL_BYTES = 4 * MAX_OUTPUT_CHARS
_BUNDLE_BYTES = MAX_BODY_BYTES // 2


class Reporter:
    """A thread that sends news about tasks to the relay."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.relay_address
        self._bell = threading.Event()
        self._touched = time.monotonic()
        self._sizes: dict[tuple[str, int], int] = {}
        self._sent = 0.0
        self._is_more = False
        self._stopping = threading.Event()
        # It warns of every repetition, in its own words; what came of it is said below.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        self._pool = urllib3.PoolManager(
            num_pools=1,
            headers={
                "Authorization": f"Bearer {settings.own_key}",
                "Content-Type": "application/json",
            },
            timeout=urllib3.Timeout(connect=5, read=6),
            # One quick repetition: a kept-open connection may have been closed meanwhile. A
            # redirect is refused, because the key must not travel to another host.
            retries=urllib3.Retry(1, redirect=0, status=0, backoff_factor=0),
        )
        self._thread = threading.Thread(target=self._work, name="reporter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is news."""
        self._bell.set()

    def stop(self, timeout: float) -> None:
        """Send what is there, for at most *timeout* seconds; the rest leaves at the next start."""
        self._stopping.set()
        self._bell.set()
        self._thread.join(timeout)

    def _work(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._bell.wait(LOOK_S)
            self._bell.clear()
            try:
                self._touch_running()
                self._send_all()
                failures = 0
            except Away as away:
                failures += 1
                if failures == 1:
                    log.warning("The relay takes no reports (%s); they are kept and sent later.", away)
                self._stopping.wait(min(MAX_PAUSE_S, 2**failures) * random.uniform(0.5, 1))  # noqa: S311
            except models.STORE_ERRORS as problem:
                # Somebody writes for long, or the disk is full; the news are in the rows.
                log.warning("Reports wait, because the records cannot be used now (%s).", problem)
                self._stopping.wait(LOOK_S)
            except Exception:
                # The edge of the thread: a fault of ours must not end it silently, or nobody would
                # ever hear of a result again.
                log.exception("Reports could not be sent; trying again.")
                self._stopping.wait(MAX_PAUSE_S)

    def _touch_running(self) -> None:
        """Every TAIL_S seconds, let running tasks that printed more be reported again."""
        if time.monotonic() - self._touched < TAIL_S:
            return
        self._touched = time.monotonic()
        sizes: dict[tuple[str, int], int] = {}
        for task in models.with_status(Status.RUNNING):
            path = models.output_path(task)
            sizes[task.id, task.attempt] = size = path.stat().st_size if path.exists() else 0
            if size != self._sizes.get((task.id, task.attempt), 0):
                moves.touch(task)
        self._sizes = sizes

    def _send_all(self) -> None:
        while waiting := self._news():
            for bundle in _bundles(waiting):
                self._send(bundle)
                moves.mark_reported([(task.id, task.rev) for task, _ in bundle])

    def _news(self) -> list[models.Task]:
        """What is to be told now; unless it is a lot, GAP_S after the last request at the earliest."""
        if not self._is_more:
            self._stopping.wait(max(0.0, self._sent + GAP_S - time.monotonic()))
        found = models.unreported(_BATCH, wall_clock() - RUNNING_FOR)
        self._is_more = len(found) == _BATCH
        return found

    def _send(self, bundle: _Bundle) -> None:
        """Bring *bundle* to the relay. Raises Away when that must be tried again."""
        answer = self._put(b'{"reports": [' + b", ".join(report for _, report in bundle) + b"]}")
        if answer.status == HTTPStatus.OK:
            for refused in json.loads(answer.data)["refused"]:
                # It would be refused for ever; holding on to it would hold up all others.
                log.warning(
                    "The relay does not want the report of task %s: %s.",
                    refused["task_id"],
                    refused["detail"],
                )
        elif answer.status in _NEVER and _is_ours(answer):
            if len(bundle) > 1:
                for one in bundle:
                    self._send([one])
            else:
                log.warning(
                    "The relay does not want the report of task %s (%d).", bundle[0][0].id, answer.status
                )
        else:
            raise Away(f"it answers {answer.status}")

    def _put(self, body: bytes) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request("PUT", f"{self._url}/tasks", body=body)
        except urllib3.exceptions.HTTPError as problem:
            raise away(problem) from None
        finally:
            self._sent = time.monotonic()


_Bundle = list[tuple[models.Task, bytes]]
"""Tasks, each with its report as JSON."""
_NEVER = {HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}


def _bundles(tasks: Iterable[models.Task]) -> Iterator[_Bundle]:
    """What travels in one request: as much as its body may hold, and at least one report."""
    bundle: _Bundle = []
    size = 0
    for task in tasks:
        report = _report_of(task).model_dump_json().encode()
        if bundle and size + len(report) > _BUNDLE_BYTES:
            yield bundle
            bundle, size = [], 0
        bundle.append((task, report))
        size += len(report)
    if bundle:
        yield bundle


def _report_of(task: models.Task) -> Report:
    try:
        return report_of(task)
    except Exception:
        # One row that cannot be told must not hold up all others: say at least how it stands.
        log.exception("What task %s printed cannot be reported.", task.id)
        bare = {name: getattr(task, name) for name in ("rev", "attempt", "status", "reason")}
        return Report.model_validate({"task_id": task.id, **bare})


def report_of(task: models.Task) -> Report:
    """What the relay gets to know about *task* as its row stands now."""
    output_data = json.loads(task.output_data or "{}")
    output, truncated = _tail(models.output_path(task))
    return Report.model_validate(
        {
            "task_id": task.id,
            "rev": task.rev,
            "attempt": task.attempt,
            "status": task.status,
            "reason": task.reason,
            "error": _plain(task.error, 4_000) or None,
            "headline": _plain(output_data.get("headline") or _asked(task), 200) or None,
            "returncode": output_data.get("returncode"),
            "output": output,
            "truncated": truncated,
            "started_at": task.started_at,
            "completed_at": task.completed_at,
        }
    )


def _asked(task: models.Task) -> str | None:
    """What a running task waits for its owner to allow."""
    return next((question.line for question in questions.open_in(task)), None)


def _tail(path: Path) -> tuple[str, bool]:
    """The end of a log in whole characters, and whether something is missing before it."""
    try:
        with path.open("rb") as log_file:
            size = log_file.seek(0, 2)
            log_file.seek(max(0, size - _TAIL_BYTES))
            raw = log_file.read(_TAIL_BYTES)
    except OSError:
        # Not there yet, or its disk has gone: how it ended can be told without.
        return "", False
    # A cut may fall inside a character.
    text = raw.decode("utf-8", "replace")
    return _plain(text, len(text))[-MAX_OUTPUT_CHARS:], size > len(raw) or len(text) > MAX_OUTPUT_CHARS


def _plain(text: str | None, most: int) -> str:
    """*text* as it may travel: NUL cannot (SQLite, JSON readers)."""
    return (text or "").replace("\x00", "\N{REPLACEMENT CHARACTER}")[:most]


def _is_ours(answer: urllib3.BaseHTTPResponse) -> bool:
    """Whether the relay itself answered; a host's "no such app" page during a deploy is no verdict."""
    return answer.headers.get("content-type", "").startswith("application/problem+json")
