"""Puts the viewer together: pages, JSON, headers, errors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from flask import Flask, Response
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from relay.protocol import TASK_ID
from relay.version import VERSION
from viewer import access, api, assets, connect, errors, guard, views, words
from viewer.desk import Desk
from viewer.devices import Devices
from viewer.settings import Settings
from viewer.squeeze import squeeze
from worker import models
from worker.inbox import Inbox

MAX_REQUEST_BYTES = 64 * 1024
"""The largest request body; forms here have a few words."""


class TaskIdConverter(BaseConverter):
    """A task id in an address. Ids of dots only, which browsers take for directions, are no task ids."""

    regex = TASK_ID.strip("^$")


def create_app(
    inbox: Inbox,
    devices: Devices,
    settings: Settings,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Flask:
    """The viewer on the records that *inbox* has opened, for *devices*; *now* tells the time."""
    app = Flask("viewer", static_url_path="/static")
    app.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST_BYTES
    app.url_map.converters["task"] = TaskIdConverter
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        action=words.action_words,
        ago=lambda at: words.ago(at, now()),
        count=words.count,
        day=words.day,
        duration=words.duration,
        elapsed=lambda since: words.duration((now() - since).total_seconds()),
        moment=words.moment,
        percent=words.percent,
        size=words.size,
    )
    app.jinja_env.globals["asset"] = assets.add_to(app)
    app.extensions["desk"] = Desk(inbox, now)
    app.context_processor(lambda: {"desk": app.extensions["desk"], "version_of_us": VERSION})
    app.register_blueprint(views.make_pages(inbox))
    app.register_blueprint(connect.make_connect(devices, settings))
    app.register_blueprint(api.api)
    app.context_processor(guard.make_browser(devices, settings))
    app.before_request(guard.make_guard(devices, settings))
    app.after_request(_add_headers)
    app.after_request(squeeze)
    app.register_error_handler(HTTPException, errors.answer)
    for problem in models.STORE_ERRORS:
        app.register_error_handler(problem, errors.answer_unusable)
    return app


def _add_headers(response: Response) -> Response:
    response.headers.update(access.headers_at(guard.own_origins()))
    if assets.is_kept() and response.status_code == 200:  # noqa: PLR2004
        response.headers["Cache-Control"] = assets.FOR_GOOD
    else:
        response.headers.setdefault("Cache-Control", access.PAGE_CACHE)
    return response
