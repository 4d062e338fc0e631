"""What a person decides on the pages: run again, stop, approve, ask on. Each is one form that posts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from flask import Blueprint, abort, redirect, request, url_for
from werkzeug.wrappers import Response

from viewer import asked
from worker import models
from worker.inbox import CannotApprove, CannotFollowUp, CannotRetry, Inbox, Unacceptable


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
    pages.add_url_rule("/t/<task:task_id>/follow-up", "follow_up", _follow_up(inbox), methods=["POST"])
    for name, decide in decisions.items():
        pages.add_url_rule(f"/t/<task:task_id>/{name}", name, _press(decide), methods=["POST"])


def _answer(inbox: Inbox, task_id: str, *, is_allowed: bool) -> None:
    """Answer the question that the form belongs to, and only that."""
    number = asked.posted("question")
    if number is None:
        abort(400, "This says yes or no to nothing; use the buttons on the task's own page")
    inbox.answer(task_id, number, request.form.get("fingerprint", ""), is_allowed=is_allowed)


def _follow_up(inbox: Inbox) -> Callable[[str], Response]:
    def follow_up(task_id: str) -> Response:
        words = request.form.get("words", "").strip()
        if not words:
            abort(400, "Say what it shall do next")
        # The same words from the same page are a second tap; others, after "back", are another task.
        tap = f"{request.form.get('page', '')} {words}".encode(errors="replace")
        try:
            following = inbox.follow_up(task_id, words, f"ask-{hashlib.sha256(tap).hexdigest()[:12]}")
        except KeyError:
            abort(404)
        except (CannotFollowUp, Unacceptable) as reason:
            abort(409, str(reason))
        return redirect(url_for("pages.task", task_id=following.id), 303)

    return follow_up


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
