"""The pages, and what their scripts poll."""

from __future__ import annotations

import io
import secrets
from typing import Any, BinaryIO

from flask import Blueprint, Response, abort, render_template, request, send_file

from viewer import again, asked, buttons, listing, live, patch, records, requests, shown, words
from viewer.desk import desk
from viewer.stats import PERIODS
from worker import models
from worker.inbox import Inbox

PAGE_EVENTS = 30
_EARLIER_BYTES = 8 * 1024
_EARLIER_OUTPUTS = 10
"""So many earlier attempts show the end of their output; the others only link to it."""


def make_pages(inbox: Inbox) -> Blueprint:
    """The pages; what a person decides on them goes through *inbox*."""
    pages = Blueprint("pages", __name__)
    pages.get("/")(listing.tasks)
    pages.get("/live")(listing.tasks_live)
    pages.get("/t/<task:task_id>")(task)
    pages.get("/t/<task:task_id>/live")(task_live)
    pages.get("/t/<task:task_id>/raw")(raw)
    pages.get("/t/<task:task_id>/retry")(again.ask_one)
    pages.get("/retry")(again.ask_all)
    pages.post("/retry")(again.all_of_them)
    pages.post("/t/<task:task_id>/viewed")(viewed)
    pages.get("/stats")(stats)
    pages.get("/manifest.webmanifest")(manifest)
    pages.get("/events")(events)
    pages.get("/events/<int:number>/raw")(event_raw)

    buttons.add_to(pages, inbox)
    return pages


def task(task_id: str) -> str:
    """One task: the verdict first, then what it printed."""
    found = _get(task_id)
    everything = request.args.get("output") == "all"
    output = shown.output(found, found, live.TAIL_BYTES)
    if everything and output.fits:
        output = shown.output(found, found, live.INLINE_BYTES)
    earlier = [
        (shown.run_of(row), shown.output(found, row, _EARLIER_BYTES) if i < _EARLIER_OUTPUTS else None)
        for i, row in enumerate(records.attempts_before(found))
    ]
    parameters, is_cut = shown.pretty(found.input_data)
    return render_template(
        "task.html",
        card=shown.card(found),
        answer=shown.answer(found),
        patch=patch.of(found),
        question=requests.question(found),
        requests=requests.open_in(found),
        can_follow_up=records.is_ended(found.status) and bool(records.result(found).get("session_id")),
        page=secrets.token_hex(8),
        output=output,
        silence=shown.silence(found),
        earlier=earlier,
        directory=words.plain(found.directory or ""),
        approval=words.plain(found.approval or ""),
        is_approved=found.approved is not None,
        parameters=parameters,
        parameters_cut=is_cut,
    )


def task_live(task_id: str) -> dict[str, Any]:  # Any: JSON
    """News about a task and its output, see `viewer.live.answer`."""
    found = _get(task_id)
    if asked.number("attempt", found.attempt) != found.attempt:
        # It was run again: the page must begin anew, and its offsets mean nothing here.
        return {"rev": found.rev, "attempt": found.attempt}
    start = asked.number("from", 0)
    place = live.Place(start, asked.number("seen", start), request.args.get("sgr", "")[:40])
    ended = records.is_ended(found.status)
    with records.open_output(found, found) as log:
        piece = live.read(log, place, ended=ended)
    return live.answer(piece, place, rev=found.rev, asked_rev=asked.number("rev", 0), ended=ended)


def viewed(task_id: str) -> dict[str, Any]:  # Any: JSON
    """The result has been in sight for a second. A plain GET would also count what fetches for a preview."""
    found, through = _get(task_id), request.form.get("through", "")
    if through not in {"phone", "laptop"}:
        abort(400, "through is phone or laptop")
    if request.form.get("attempt") == str(found.attempt):
        desk().seen.look(found, through)
    return {}


def stats() -> str:
    """How it is going."""
    period = request.args.get("days", "30")
    if period not in PERIODS:
        abort(400, f"days is one of {', '.join(PERIODS)}, not {period[:20]!r}")
    return render_template("stats.html", period=period, periods=PERIODS, stats=desk().accountant.of(period))


def manifest() -> Response:
    """What a phone wants to know before it puts the viewer on its home screen."""
    answer = Response(render_template("manifest.json"), content_type="application/manifest+json")
    answer.headers["Cache-Control"] = "private, max-age=86400"
    return answer


def raw(task_id: str) -> Response:
    """All that an attempt printed, as a file, exactly as it was printed."""
    found = _get(task_id)
    row = records.attempt_of(found, asked.number("attempt", found.attempt))
    if row is None:
        abort(404, f"Task {task_id} has no such attempt")
    name = f"{task_id.strip('.') or 'task'}-{row.attempt}.log"
    return _download(records.open_output(found, row), name)


def events() -> str:
    """Webhooks that were no commands, newest first."""
    before = asked.number_or_none("before")
    found = records.events(PAGE_EVENTS + 1, before=before)
    page = found[:PAGE_EVENTS]
    return render_template(
        "events.html",
        events=[(one, *shown.pretty(one.payload)) for one in page],
        before=before,
        earlier=page[-1].id if len(found) > PAGE_EVENTS else None,
    )


def event_raw(number: int) -> Response:
    """The payload of one event, as a file."""
    found = records.event(number) if number < 2**63 else None
    if found is None:
        abort(404, "There is no such event")
    return _download(io.BytesIO(found.payload.encode("utf-8", "replace")), f"event-{number}.json")


def _get(task_id: str) -> models.Task:
    found = models.get(task_id)
    if found is None:
        abort(404)
    return found


def _download(content: BinaryIO, name: str) -> Response:
    # Plain text as an attachment: whatever is in it, no browser runs it under our address.
    answer = send_file(content, "text/plain", as_attachment=True, download_name=name)
    answer.headers["Cache-Control"] = "no-store"
    return answer
