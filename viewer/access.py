"""Who may ask, and what every answer carries. There is no login yet: what protects the owner is
that the viewer listens on this machine only, and that other web pages cannot speak through the browser.

The rules follow the Fetch standard (`Origin`, `Sec-Fetch-Site`) and CSP level 3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# A name that points to 127.0.0.1 only today (DNS rebinding) is not ours.
_OWN_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]{1,5})?", re.ASCII)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # With no-referrer, Chromium sends `Origin: null` with our own forms, and they would be refused.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Sent with every answer, errors included."""

PAGE_CACHE = "private, no-cache"
"""`Cache-Control` of pages. `no-store` would forbid the back/forward cache, and "back" its instant answer."""


def host_refusal(host: str | None) -> str | None:
    """Why a request with this `Host` gets no answer; None when it is ours, on any port."""
    if host is not None and _OWN_HOST.fullmatch(host):
        return None
    return "The viewer answers to 127.0.0.1 and localhost only; open it under one of these names"


def sender_refusal(method: str, host: str, origin: str | None, site: str | None) -> str | None:
    """Why a request may not change anything; None when it may, or only wants to read.

    *origin* and *site* are the `Origin` and `Sec-Fetch-Site` headers, None when absent. Ports of
    localhost share cookies and count as one site, so the origin is compared with its port."""
    if method in _SAFE_METHODS:
        return None
    if origin is None and site is None:
        return f"Send an Origin header with the viewer's own address, http://{host}"
    if origin not in {None, f"http://{host}"} or site not in {None, "same-origin"}:
        return "This was not sent by a page of the viewer; use the button on the task's own page"
    return None
