"""Run again: one task, or all failed ones that a filter shows. First the commands, then the button."""

from __future__ import annotations

from typing import NamedTuple

from flask import abort, render_template, request

from relay.protocol import Status
from viewer import listing, shown, titles
from viewer.desk import desk
from viewer.filters import Filter
from viewer.listing import MOST_AGAIN
from worker import models
from worker.inbox import CannotRetry


class Refused(NamedTuple):
    """A task that was not run again, and why."""

    task_id: str
    title: str
    why: str


def ask_one(task_id: str) -> str:
    """ "Run again" without JavaScript: the same question as the dialog, as a page."""
    found = models.get(task_id)
    if found is None:
        abort(404)
    card = shown.card(found)
    if not card.can_run_again:
        abort(409, _why_not(found))
    return render_template("retry.html", card=card)


def ask_all() -> str:
    """What would run again: the newest failed tasks that the filter shows."""
    wanted = Filter.read(request.args).but(status=Status.FAILED)
    found = listing.to_run_again(wanted)
    cards = [shown.card(task) for task in found[:MOST_AGAIN]]
    return render_template("retry_all.html", wanted=wanted, cards=cards, is_more=len(found) > MOST_AGAIN)


def all_of_them() -> str:
    """Run again what the page showed, and say honestly how many of them do."""
    chosen = [entry.rpartition("/") for entry in request.form.getlist("task")]
    if len(chosen) > MOST_AGAIN:
        abort(400, f"At most {MOST_AGAIN} tasks run again at once, not {len(chosen)}")
    refusals = [refused for task_id, _, attempt in chosen if (refused := _one(task_id, attempt))]
    return render_template(
        "retried.html",
        taken=len(chosen) - len(refusals),
        asked=len(chosen),
        refusals=refusals,
        wanted=Filter.read(request.form),
    )


def _why_not(task: models.Task) -> str:
    if not titles.can_pass(task):
        return f"It would be refused again: {task.error}"
    return f"Only failed and cancelled tasks run again; this one is {task.status}"


def _one(task_id: str, attempt: str) -> Refused | None:
    task = models.get(task_id)
    if task is None:
        return Refused(task_id, task_id, "There is no such task any more")
    title = shown.card(task).title
    # A second tap, or a page from before: this attempt has been run again already.
    if str(task.attempt) != attempt:
        return Refused(task_id, title, "It was run again already")
    try:
        desk().inbox.retry(task_id)
    except (CannotRetry, KeyError) as reason:
        return Refused(task_id, title, str(reason))
    return None
