"""What a person decides on the pages: run again, stop, approve, decline. Each is one form that posts."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, abort, redirect, request, url_for
from werkzeug.wrappers import Response

from worker import models
from worker.inbox import CannotApprove, CannotRetry, Inbox

_DIGITS = 19
"""A longer number is none that SQLite could hold."""


def add_to(pages: Blueprint, inbox: Inbox) -> None:
    """Give *pages* the addresses that the forms post to; what is decided goes through *inbox*."""
    decisions: dict[str, Callable[[str], object]] = {
        "retry": inbox.retry,
        "stop": inbox.cancel,
        # The form says what its page showed, and only that is approved.
        "approve": lambda task_id: inbox.approve(task_id, request.form.get("fingerprint", "")),
        "decline": inbox.decline,
        "allow": lambda task_id: _answer(inbox, task_id, is_allowed=True),
        "deny": lambda task_id: _answer(inbox, task_id, is_allowed=False),
    }
    for name, decide in decisions.items():
        pages.add_url_rule(f"/t/<task:task_id>/{name}", name, _press(decide), methods=["POST"])


def _answer(inbox: Inbox, task_id: str, *, is_allowed: bool) -> None:
    """Answer the question that the form belongs to, and only that."""
    number = request.form.get("question", "")
    if not (number.isascii() and number.isdigit() and len(number) < _DIGITS):
        abort(400, "This says yes or no to nothing; use the buttons on the task's own page")
    inbox.answer(task_id, int(number), request.form.get("fingerprint", ""), is_allowed=is_allowed)


def _press(decide: Callable[[str], object]) -> Callable[[str], Response]:
    def press(task_id: str) -> Response:
        found = models.get(task_id)
        if found is None:
            abort(404)
        # A second tap, or a page from before: what it asks for another attempt has been done already.
        if request.form.get("attempt", str(found.attempt)) == str(found.attempt):
            try:
                decide(task_id)
            except (CannotRetry, CannotApprove) as reason:
                abort(409, str(reason))
        return redirect(url_for("pages.task", task_id=task_id), 303)

    return press
