"""Who may ask, who may change something, and what every answer carries. Pure.

Three questions, in this order. Is the name by which we are called ours? May this visitor read: a browser
on this machine, or one that is connected (`viewer.devices`)? May it change something: it is connected, and
one of our own pages sent it. The rules follow the Fetch standard (`Origin`, `Sec-Fetch-Site`) and CSP 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address

# A name that points to 127.0.0.1 only today (DNS rebinding) is not ours.
_OWN_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]{1,5})?", re.ASCII)
_ORIGIN = re.compile(r"(https?)://([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)(?::([0-9]{1,5}))?/?", re.ASCII)
_USUAL_PORT = {"http": "80", "https": "443"}
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Whoever forwards from elsewhere says so in one of these; a browser on this machine sends none.
_FORWARDED = frozenset(
    {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"}
)

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # With no-referrer, Chromium sends `Origin: null` with our own forms, and they would be refused.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Sent with every answer, errors included; `headers_at` says where one of them is of no use."""

PAGE_CACHE = "private, no-cache"
"""`Cache-Control` of pages. `no-store` would forbid the back/forward cache, and "back" its instant answer."""


def parse_origins(text: str) -> tuple[str, ...]:
    """The origins in `https://laptop.example.ts.net, http://192.168.1.20:5001`, as browsers write them.

    Raises ValueError with a sentence."""
    return tuple(_origin(part) for part in text.lower().replace(",", " ").split())


def _origin(text: str) -> str:
    found = _ORIGIN.fullmatch(text)
    if found is None or int(found[3] or 1) not in range(1, 65_536):
        raise ValueError("write addresses as https://laptop.example.ts.net or http://192.168.1.20:5001")
    scheme, name, port = found.groups()
    return f"{scheme}://{name}" + (f":{port}" if port and port != _USUAL_PORT[scheme] else "")


def origins_at(host: str | None, configured: Iterable[str] = ()) -> frozenset[str]:
    """The origins that our own pages have under this `Host`; none when it is no name of ours.

    Names of this machine itself are ours on any port, others when they are *configured*."""
    own = {origin for origin in configured if origin.partition("://")[2] == host}
    if host is not None and _OWN_HOST.fullmatch(host):
        own.add(f"http://{host}")
    return frozenset(own)


def headers_at(own: frozenset[str]) -> Mapping[str, str]:
    """The headers for an answer at the origins *own*."""
    # Browsers trust HTTPS and this machine. Elsewhere they only complain about this one, at each page.
    if own and all(one.startswith("http://") and not _OWN_HOST.fullmatch(one[7:]) for one in own):
        return {name: value for name, value in HEADERS.items() if name != "Cross-Origin-Opener-Policy"}
    return HEADERS


def is_local(peer: str | None, host: str, headers: Iterable[str]) -> bool:
    """Whether a browser on this machine asks: the connection (*peer* is its other end) comes from here, for
    a name of this machine itself, and the names of *headers* do not tell of anybody in between.

    Tailscale Serve and other proxies connect from here as well, and what they pass on as `Host` is the
    word of whoever asked them; but they say that they forward."""
    if any(name.lower() in _FORWARDED or name.lower().startswith("tailscale-") for name in headers):
        return False
    return _is_loopback(peer) and _OWN_HOST.fullmatch(host) is not None


def _is_loopback(address: str | None) -> bool:
    try:
        return address is not None and ip_address(address).is_loopback
    except ValueError:
        return False


def may_change(method: str) -> bool:
    """Whether a request with this method may change something, by the rules of HTTP."""
    return method not in _SAFE_METHODS


def sender_refusal(method: str, own: frozenset[str], origin: str | None, site: str | None) -> str | None:
    """Why a request may not change anything, whoever sent it; None when it may, or only wants to read.

    *own* are the origins at its `Host`; *origin* and *site* are its `Origin` and `Sec-Fetch-Site`, None when
    absent. Ports of localhost share cookies and count as one site, so an origin is compared with its port."""
    if not may_change(method):
        return None
    if origin is None and site is None:
        return f"Send an Origin header with the viewer's own address, {min(own)}"
    if (origin is not None and origin not in own) or site not in {None, "same-origin"}:
        return "This was not sent by a page of the viewer; use the button on the task's own page"
    return None


def inner_path(text: str) -> str:
    """*text* when it is a path on this viewer, for going on after a sign-in; else `/`."""
    # Browsers read `//name` and `/\name` as another host, and drop tabs and line ends before they look.
    return text if re.fullmatch(r"/(?![/\\])[!-~]{0,500}", text) else "/"
