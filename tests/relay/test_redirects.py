"""To whom a code may be sent. Two parsers must agree about it: ours, and the kind that browsers have."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import AnyUrl, ValidationError

from relay.names import HERE, NAME
from relay.redirects import LOOPBACK, VENDORS, called, caller_name, is_allowed

HOSTS = {host for host, _ in VENDORS} | LOOPBACK
PIECES = (
    "https:", "http:", "//", "/", "\\", "@", ":", ":443", ":1", "#", "?", "..", ".", "%2e%2e", "%2f", " ",
    "\t", "\n", "evil.example", "127.0.0.1", "localhost", "[::1]", *HOSTS,
    *(host + path for host, path in VENDORS),
)  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join) | st.text(max_size=60))
@example("https://chatgpt.com/connector/oauth/%2E%2e/evil")
@example("https://claude.ai\\@evil.example/api/mcp/auth_callback")
@example("https://evil.example\\.claude.ai/api/mcp/auth_callback")
@example("https:/\t/claude.ai/api/mcp/auth_callback")
def test_what_is_allowed_leads_a_browser_to_a_host_that_is_known(uri: str) -> None:
    if not is_allowed(uri):
        return
    try:
        seen = AnyUrl(uri)
    except ValidationError:
        # The registration refuses it as well.
        return
    assert str(seen.host).strip("[]") in HOSTS
    assert seen.username is None
    if seen.scheme == "https":
        assert any(seen.host == host and str(seen.path).startswith(path) for host, path in VENDORS)
    else:
        assert str(seen.host).strip("[]") in LOOPBACK


@given(st.text(max_size=100))
@example("Phone")
@example("Viewer")
def test_whatever_an_app_calls_itself_its_name_is_harmless(name: str) -> None:
    shown = called(name)
    assert shown.isprintable()
    assert 0 < len(shown) <= 60
    taken = {"phone", "phone-app", "phone-app2", "app"}
    caller = caller_name("http://127.0.0.1/x", name, taken)
    assert re.fullmatch(NAME, caller)
    assert caller not in {*taken, *VENDORS.values(), HERE}
