"""Sign in, and the page Phone: how a browser gets connected, which ones are, and how they are forgotten."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from typing import NamedTuple

import segno
from flask import Blueprint, abort, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from viewer import access, asked, guard
from viewer.devices import Devices, TooManyTries, WrongCode
from viewer.settings import Settings, lan_address

COOKIE_S = 400 * 86_400
"""The longest that browsers keep a cookie; what counts is what `viewer.devices` knows."""
# The first that occurs: most browsers call themselves Safari, and some Chrome, as well.
_BROWSERS = {
    "Edg": "Edge", "OPR": "Opera", "SamsungBrowser": "Samsung Internet", "FxiOS": "Firefox",
    "Firefox": "Firefox", "CriOS": "Chrome", "Chrom": "Chrome", "Safari": "Safari",
}  # fmt: skip
_SYSTEMS = {
    "iPhone": "iPhone", "iPad": "iPad", "Android": "Android", "Macintosh": "Mac", "Windows": "Windows",
    "CrOS": "ChromeOS", "Linux": "Linux",
}  # fmt: skip


class Ways(NamedTuple):
    """How other devices may come in: the addresses that are open to them, and what is missing for more."""

    tailscale: list[str]
    lan: list[str]
    listens_to_lan: bool
    has_tailscale: bool
    lan_address: str
    port: int


def make_connect(devices: Devices, settings: Settings) -> Blueprint:
    """The pages /login and /connect."""
    pages = Blueprint("connect", __name__)
    pages.add_url_rule("/login", "sign_in", lambda: _sign_in(devices))
    pages.add_url_rule("/login", "let_in", _let_in(devices, settings), methods=["POST"])
    pages.add_url_rule("/connect", "phone", lambda: _phone(devices, settings))
    pages.add_url_rule("/connect/live", "live", lambda: {"latest": _latest(devices)})
    pages.add_url_rule("/connect/code", "code", lambda: _code(devices, settings), methods=["POST"])
    pages.add_url_rule("/connect/forget", "forget", lambda: _forget(devices, settings), methods=["POST"])
    return pages


def _sign_in(devices: Devices) -> Response:
    """Asks for the code. A link that has one only shows it: messengers fetch links to preview them."""
    onward = access.inner_path(request.args.get("next", "/"))
    if guard.this_device():
        return redirect(onward, 303)
    if request.host.partition(":")[0] == "localhost":
        # For a browser this is another machine than 127.0.0.1, with cookies of its own; links lead there.
        return redirect(f"http://127.0.0.1{request.host.removeprefix('localhost')}{request.full_path}", 303)
    code = request.args.get("code", "")[:20]
    is_over = bool(code) and devices.is_over(code)
    return _unkept(
        render_template(
            "login.html",
            code="" if is_over else code,
            problem="link" if is_over else None,
            onward=onward,
            kind=_kind(),
        )
    )


def _let_in(devices: Devices, settings: Settings) -> Callable[[], Response]:
    def let_in() -> Response:
        onward = access.inner_path(request.form.get("next", "/"))
        agent = request.headers.get("User-Agent", "")
        try:
            token = devices.connect(
                request.form.get("code", "")[:40], address=request.remote_addr or "", name=device_name(agent)
            )
        except WrongCode as problem:
            locked = isinstance(problem, TooManyTries)
            page = render_template(
                "login.html", problem="locked" if locked else "wrong", onward=onward, kind=_kind()
            )
            return _unkept(page, 429 if locked else 403)
        if before := guard.this_device():
            devices.forget(before.id)
        answer = redirect(onward, 303)
        answer.set_cookie(
            settings.cookie,
            token,
            max_age=COOKIE_S,
            httponly=True,
            samesite="Strict",
            secure=guard.is_encrypted(),
        )
        return answer

    return let_in


def _phone(devices: Devices, settings: Settings) -> str:
    return render_template(
        "connect.html", ways=_ways(settings), devices=devices.all(), me=guard.this_device()
    )


def _ways(settings: Settings) -> Ways:
    return Ways(
        tailscale=[one for one in settings.origins if one.startswith("https://")],
        lan=[one for one in settings.origins if one.startswith("http://")],
        listens_to_lan=settings.reaches_out,
        has_tailscale=shutil.which("tailscale") is not None,
        lan_address=lan_address(),
        port=settings.viewer_port,
    )


def _code(devices: Devices, settings: Settings) -> Response:
    address = request.form.get("address", "")
    if address not in settings.origins:
        abort(400, "There is no such address; go back to the page Phone and choose one")
    code = devices.new_code()
    # The picture is black on white in dark mode, too: many cameras cannot read it the other way round.
    picture = segno.make(f"{address}/login?code={code}", error="m").svg_data_uri(
        scale=8, border=3, light="#fff"
    )
    page = {"address": address, "code": code, "picture": picture, "latest": _latest(devices)}
    return _unkept(render_template("code.html", **page))


def _latest(devices: Devices) -> int:
    """Grows with each device that is connected."""
    return max((one.id for one in devices.all()), default=0)


def _forget(devices: Devices, settings: Settings) -> Response:
    number = asked.posted("device")
    if number is None:
        abort(400, "There is no such device")
    devices.forget(number)
    me = guard.this_device()
    if me is None or me.id != number:
        return redirect(url_for("connect.phone"), 303)
    answer = redirect(url_for("connect.sign_in"), 303)
    answer.delete_cookie(settings.cookie, httponly=True, samesite="Strict", secure=guard.is_encrypted())
    return answer


def device_name(agent: str) -> str:
    """How a browser with this `User-Agent` is called in the list: `Safari on iPhone`."""
    browser = next((name for sign, name in _BROWSERS.items() if sign in agent), "A browser")
    system = next((name for sign, name in _SYSTEMS.items() if sign in agent), None)
    return f"{browser} on {system}" if system else browser


def _kind() -> str:
    return (
        "phone" if re.search("iPhone|Android.*Mobile", request.headers.get("User-Agent", "")) else "browser"
    )


def _unkept(page: str, status: int = 200) -> Response:
    """A page with a code on it, which no cache may keep."""
    answer = make_response(page, status)
    answer.headers["Cache-Control"] = "no-store"
    return answer
