"""The frame of every page for people: no script, nothing from elsewhere, and no page may frame it."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from http import HTTPStatus

from starlette.responses import HTMLResponse, Response

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:1.05rem/1.5 system-ui,sans-serif;max-width:32rem;margin:2rem auto;padding:0 1rem}"
    "body.wide{max-width:52rem}"
    "h1{font-size:1.4rem;line-height:1.25}"
    "h2{font-size:1.15rem;margin-top:2rem}"
    "code{overflow-wrap:anywhere}"
    "dt{margin-top:.4rem}"
    "label,input{display:block;width:100%;box-sizing:border-box}"
    "input{font:inherit;padding:.7rem;margin:.3rem 0 1rem}"
    "button{font:inherit;padding:.7rem 1.2rem;margin:0 .6rem .6rem 0;min-height:2.75rem}"
    "[role=alert]{border-left:.3rem solid;padding:.3rem .8rem}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def page(
    title: str,
    text: str,
    status: HTTPStatus = HTTPStatus.OK,
    form_action: str = "'none'",
    *,
    is_wide: bool = False,
) -> Response:
    """A page that shows *text*, which is HTML. *form_action*: where its forms may lead, in the words of
    the Content-Security-Policy."""
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action {form_action}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    head = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)} · ai-webhook</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style>'
    )
    body = f"<body{' class=wide' if is_wide else ''}><main>{text}</main></html>"
    return HTMLResponse(head + body, status, headers)
