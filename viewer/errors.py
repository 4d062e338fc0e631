"""One calm answer for every fault: what happened, and the way out."""

from __future__ import annotations

import logging
from http import HTTPStatus

from flask import json, render_template, request
from werkzeug.exceptions import HTTPException, ServiceUnavailable
from werkzeug.wrappers import Response

from viewer.guard import NotConnected, is_for_a_program

log = logging.getLogger(__name__)

_TEXTS = {
    400: ("That cannot be read", "A part of the address or of the request makes no sense here"),
    403: ("Nothing was done", "This request did not come from the viewer itself"),
    404: ("Nothing here", "There is no page at this address"),
    405: ("Not like that", "This address does not answer to that kind of request"),
    409: ("Not now", "The task has changed meanwhile"),
    413: ("Too much", "The request is larger than anything the viewer needs"),
    503: ("Not at this moment", "The records cannot be used right now; try again in a moment"),
    500: ("Something went wrong here", "The viewer met a fault of its own; its log has the details"),
}
_NO_TASK = ("No such task", "It may have been cleaned up, or the link is from another machine")


def answer(error: HTTPException) -> Response:
    """A page, or for programs (under /api, and polls) one sentence as JSON."""
    response = error.get_response(request.environ)
    status = response.status_code
    if status < HTTPStatus.BAD_REQUEST:
        # A redirect to the right spelling of an address travels as an exception, too.
        return response
    heading, usual = _TEXTS.get(status, _TEXTS[400 if status < HTTPStatus.INTERNAL_SERVER_ERROR else 500])
    if isinstance(error, NotConnected):
        heading = "Connect this browser first"
    if status == HTTPStatus.NOT_FOUND and request.path.startswith("/t/"):
        heading, usual = _NO_TASK
    # Werkzeug's own texts are for programmers; only what the viewer says itself is shown.
    own = error.description if error.description != type(error).description else None
    sentence = own or usual
    if is_for_a_program():
        response.content_type = "application/json"
        response.data = json.dumps({"error": sentence})
    else:
        response.content_type = "text/html; charset=utf-8"
        task_id = (request.view_args or {}).get("task_id") if status != HTTPStatus.NOT_FOUND else None
        response.data = render_template(
            "error.html",
            heading=heading,
            sentence=sentence,
            task_id=task_id,
            sign_in=isinstance(error, NotConnected),
        )
    return response


def answer_unusable(problem: Exception) -> Response:
    """The records are locked or gone, or the disk is full: said kindly, and in the log as it is."""
    log.warning("The records cannot be used: %s.", problem)
    return answer(ServiceUnavailable())
