"""The list of tasks: what is going on, then what has ended; or what matches a filter."""

from __future__ import annotations

from collections.abc import Collection

from flask import render_template, request

from relay.protocol import Status
from viewer import records, shown, titles, words
from viewer.desk import desk
from viewer.filters import Filter
from worker import models

PAGE_TASKS = 30
NOW_TASKS = 50
"""Of each state in "Now"; the chips lead to the rest."""
MOST_AGAIN = 20
"""So many failed tasks run again at one tap, never more: it is code that runs on this machine."""
_MOST_LOOKED_AT = 10 * MOST_AGAIN
"""So many failed ones are looked at to find those."""


def tasks() -> str:
    """The page."""
    wanted, the = Filter.read(request.args), desk()
    version, counts = the.version(), the.counts()
    plain = not wanted.status and not wanted.words
    waiting = _waiting(wanted) if plain and wanted.before is None else []
    found = find(wanted, records.ENDED if plain else tuple(Status), PAGE_TASKS + 1)
    page = records.cards(found[:PAGE_TASKS])
    new = the.seen.unseen(page)
    return render_template(
        "tasks.html",
        version=version,
        wanted=wanted,
        counts=counts,
        states=words.STATES,
        busy=sum(counts.of(one, wanted.action) for one in records.NOW),
        now=[shown.card(one) for one in waiting],
        recent=[shown.card(one) for one in page],
        new=new,
        again=len(to_run_again(wanted)) if wanted.status is Status.FAILED and wanted.before is None else 0,
        most_again=MOST_AGAIN,
        earlier=found[PAGE_TASKS - 1] if len(found) > PAGE_TASKS else None,
        is_behind=bool(wanted.words) and the.index.is_behind,
    )


def tasks_live() -> dict[str, str]:
    """Whether the list would look different from `version`: {} or the new one. A page whose search
    missed tasks says `unread`, and hears as well when there is more to find."""
    the = desk()
    version, caught_up = the.version(), "unread" in request.args and not the.index.is_behind
    return {"version": version} if caught_up or version != request.args.get("version") else {}


def find(wanted: Filter, statuses: Collection[Status], limit: int) -> list[int]:
    """The `seq` of the newest tasks that match *wanted*; *statuses* count where it names none."""
    among = (wanted.status,) if wanted.status else statuses
    if wanted.words:
        return desk().index.find(wanted, among, limit)
    return records.newest(limit, among, action=wanted.action, before=wanted.before)


def _waiting(wanted: Filter) -> list[models.Task]:
    """What has not ended: by state, then newest first."""
    return [
        task
        for status in records.NOW
        for task in records.cards(records.newest(NOW_TASKS, (status,), action=wanted.action))
    ]


def to_run_again(wanted: Filter) -> list[models.Task]:
    """The newest failed tasks that *wanted* shows and "run all again" offers; one more than it takes tells
    that there are more. Not what its owner declined, nor what can never pass."""
    failed = find(wanted.but(status=Status.FAILED), (Status.FAILED,), _MOST_LOOKED_AT)
    found = [
        task
        for task in records.cards(failed)
        if titles.can_pass(task) and not records.is_declined(task.reason, task.error)
    ]
    return found[: MOST_AGAIN + 1]
