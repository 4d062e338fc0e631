"""The guard before every page: asks the rules of `viewer.access`, and who is connected."""

from __future__ import annotations

from collections.abc import Callable

from flask import abort, g, redirect, request, url_for
from werkzeug.exceptions import Forbidden
from werkzeug.wrappers import Response

from viewer import access, assets
from viewer.devices import Device, Devices
from viewer.settings import Settings

_FOR_EVERYBODY = assets.ENDPOINTS | {"static", "pages.manifest", "connect.sign_in", "connect.let_in"}
"""What an unconnected device may have: the sign-in page, and what that is drawn with. Browsers fetch the
manifest without their cookie."""
_FOR_READERS = frozenset({"pages.viewed"})
"""What whoever may look may post: that a result was looked at. Nothing is run, stopped or approved by it."""
_UNKNOWN_NAME = (
    "The viewer does not know the name by which you called it. On its own machine open it at 127.0.0.1; "
    "for other names see VIEWER_ORIGINS in docs/CONFIGURATION.md"
)


class NotConnected(Forbidden):
    """This browser would have to be connected; the text says for what."""


def make_guard(devices: Devices, settings: Settings) -> Callable[[], Response | None]:
    """What runs before each request: None lets it pass. From then on `this_device` and `is_encrypted` tell
    about it."""

    def guard() -> Response | None:
        host = request.headers.get("Host", "")
        own = access.origins_at(host, settings.origins)
        if not own:
            abort(400, _UNKNOWN_NAME)
        g.own_origins = own
        g.device = devices.find(request.cookies.get(settings.cookie))
        origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
        if refusal := access.sender_refusal(request.method, own, origin, site):
            abort(403, refusal)
        g.may_read = g.device or access.is_local(request.remote_addr, host, request.headers.keys())
        if g.device is None and _came_by_a_link():
            return _arrive_anew()
        if g.device or request.endpoint in _FOR_EVERYBODY:
            return None
        if not access.may_change(request.method) or request.endpoint in _FOR_READERS:
            return None if g.may_read else _ask_in()
        raise NotConnected("Nothing was done: only a connected browser may run, stop or approve something")

    return guard


def own_origins() -> frozenset[str]:
    """The origins of our pages at the name by which this request called us; none when it is not ours."""
    found: frozenset[str] = g.get("own_origins", frozenset())
    return found


def this_device() -> Device | None:
    """The connected device that asks; None for a visitor."""
    found: Device | None = g.get("device")
    return found


def make_browser(devices: Devices, settings: Settings) -> Callable[[], dict[str, bool]]:
    """For templates: whether the browser is `signed_in`, so that buttons work, whether it `may_read` at all,
    and whether this is the first page since it was connected."""

    def browser() -> dict[str, bool]:
        token = request.cookies.get(settings.cookie, "")
        is_in = this_device() is not None
        return {
            "signed_in": is_in,
            "may_read": bool(g.get("may_read")),
            "is_welcome": is_in and devices.is_welcome(token),
        }

    return browser


def is_encrypted() -> bool:
    """Whether this request came by HTTPS, as far as the browser is concerned."""
    return (request.headers.get("Origin") or min(own_origins())).startswith("https://")


def is_for_a_program() -> bool:
    """Whether the answer goes to a script, which wants JSON, and not onto the screen."""
    asked_by_script = request.headers.get("Sec-Fetch-Mode") in {"cors", "same-origin"}
    return asked_by_script or request.path.startswith("/api/") or request.path.endswith("/live")


def _came_by_a_link() -> bool:
    """Whether a link on a page of somebody else led here."""
    signs = request.headers.get("Sec-Fetch-Site"), request.headers.get("Sec-Fetch-Mode")
    return signs == ("cross-site", "navigate") and not access.may_change(request.method)


def _arrive_anew() -> Response:
    """The same page, but led to by a page of ours: with a link of somebody else's browsers keep back a
    `SameSite=Strict` cookie, and a connected browser would be taken for a visitor."""
    page = '<!doctype html><html lang="en"><title>ai-webhook</title><meta http-equiv="refresh" content="0">'
    return Response(page, content_type="text/html; charset=utf-8", headers={"Cache-Control": "no-store"})


def _ask_in() -> Response:
    if is_for_a_program():
        raise NotConnected("This device is not connected, or not any more; open the viewer to sign in")
    return redirect(url_for("connect.sign_in", next=request.full_path.rstrip("?")), 303)
