"""To whom a sign-in may lead, and how that app is called from then on (pure)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from urllib.parse import urlsplit, urlunsplit

from relay.names import HERE

# The callbacks of the vendors' apps: https, this host, a path that begins like this.
VENDORS = {
    ("claude.ai", "/api/mcp/auth_callback"): "claude",
    ("claude.com", "/api/mcp/auth_callback"): "claude",
    ("chatgpt.com", "/connector/oauth/"): "chatgpt",
    ("chatgpt.com", "/connector_platform_oauth_redirect"): "chatgpt",
    ("oauth-redirect.googleusercontent.com", "/r/"): "gemini",
}
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
MAX_NAME = 60


def is_allowed(uri: str) -> bool:
    """Whether a code may be sent there: to a vendor that we know, or to a program on the user's own
    machine. Registration is open to everybody, so this list is what keeps codes from strangers."""
    return is_loopback(uri) or _vendor(uri) is not None


def is_loopback(uri: str) -> bool:
    """Whether *uri* leads to a program on the machine of the browser."""
    parts = _split(uri)
    return parts is not None and parts[0] == "http" and parts[1] in LOOPBACK


def without_port(uri: str) -> str:
    """*uri* as loopback addresses are compared (RFC 8252, 7.3): a program takes a free port each time."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.hostname or ""))


def host(uri: str) -> str:
    """Where *uri* leads, for people to read."""
    return urlsplit(uri).netloc


def called(name: str | None) -> str:
    """The app's own name for itself, made harmless to look at."""
    # Cf holds what turns the direction of writing, and so hides what is really there.
    harmless = "".join(one for one in name or "" if one.isprintable() and unicodedata.category(one) != "Cf")
    return " ".join(harmless.split())[:MAX_NAME] or "an app without a name"


def caller_name(uri: str, name: str | None, taken: Collection[str]) -> str:
    """The name by which policy and tasks will know the app that signs in by *uri* and calls itself
    *name*: a vendor's by its address, any other by its own words, but never one that is *taken* by a
    key or that a vendor has."""
    if vendor := _vendor(uri):
        return vendor
    words = re.sub(r"[^a-z0-9]+", "-", called(name).lower()).strip("-")[:20].strip("-") or "app"
    others = (f"{words}-app{number}" for number in ("", *range(2, len(taken) + 9)))
    return next(one for one in (words, *others) if one not in {*taken, *VENDORS.values(), HERE})


def _vendor(uri: str) -> str | None:
    parts = _split(uri)
    if parts is None or parts[0] != "https":
        return None
    for (vendor, path), name in VENDORS.items():
        if parts[1] == vendor and (parts[2] == path or (path.endswith("/") and parts[2].startswith(path))):
            return name
    return None


def _split(uri: str) -> tuple[str, str, str] | None:
    """Scheme, host and path; None for what hides where it leads."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return None
    # Browsers climb up at %2e%2e as well, and take a backslash for a slash.
    climbs = ".." in parts.path.lower().replace("%2e", ".")
    if parts.username is not None or parts.fragment or climbs or "\\" in uri:
        return None
    if parts.scheme == "https" and port not in (None, 443):
        return None
    return parts.scheme, parts.hostname or "", parts.path
