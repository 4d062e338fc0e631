"""The page on which the owner lets an app in, by typing the key. No script, and no page may frame it."""

from __future__ import annotations

from html import escape
from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from relay import body, redirects
from relay.hub import Relay
from relay.page import page
from relay.signins import SignIn, SignIns
from relay.tokens import new_token

_MOST_FIELDS = 8
OVER = (
    "<h1>This sign-in is over</h1><p>It has been answered, or it has waited too long, or too many wrong "
    "keys came. Start it again in the app.</p>"
)


class Consent:
    """`/consent`: shows one sign-in, and takes the owner's answer to it."""

    def __init__(self, relay: Relay, sign_ins: SignIns) -> None:
        self._relay = relay
        self._sign_ins = sign_ins

    async def show(self, request: Request) -> Response:
        """The question."""
        number = request.query_params.get("txn", "")
        sign_in = self._sign_ins.find(number)
        return _question(number, sign_in) if sign_in else _page(OVER, HTTPStatus.NOT_FOUND)

    async def answer(self, request: Request) -> Response:
        """What the owner says to it: back to the app with a code, or with a no. Raises Problem 413, 429."""
        form = _fields(await body.read(request, body.SIGN_IN_BYTES))
        number = form.get("txn", "")
        sign_in = self._sign_ins.find(number)
        if sign_in is None:
            return _page(OVER, HTTPStatus.NOT_FOUND)
        if "no" in form:
            self._sign_ins.end(number)
            return self._back(sign_in, error="access_denied", error_description="The owner said no")
        if not self._relay.doors.is_owner(request, form.get("key", "")):
            left = self._sign_ins.fail(number)
            return _question(number, sign_in, left) if left else _page(OVER, HTTPStatus.FORBIDDEN)
        code = new_token("code")
        self._sign_ins.approve(number, code)
        return self._back(sign_in, code=code)

    def _back(self, sign_in: SignIn, **answer: str) -> Response:
        """Straight to the app: Gemini gives up when there is a second redirect in between."""
        if sign_in.state is not None:
            answer["state"] = sign_in.state
        # RFC 9207: an app that talks to several servers must know whose answer this is.
        answer["iss"] = self._relay.settings.address
        parts = urlsplit(sign_in.redirect_uri)
        query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *answer.items()])
        return RedirectResponse(
            urlunsplit(parts._replace(query=query)), HTTPStatus.SEE_OTHER, {"Cache-Control": "no-store"}
        )


def _fields(raw: bytes) -> dict[str, str]:
    """The fields of a form; none when there are more than a page of ours sends."""
    text = raw.decode("utf-8", "replace")
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        return {}


def _question(number: str, sign_in: SignIn, left: int | None = None) -> Response:
    app, where = escape(sign_in.app), escape(redirects.host(sign_in.redirect_uri))
    alert = ""
    if left is not None:
        alert = f'<p role="alert">That is not the key. You can try {left} more time{"s" * (left > 1)}.</p>'
    text = (
        f"<h1>Let <b>{app}</b> use your machines?</h1>"
        f"<p>It calls itself “{app}”, and the answer goes to <b>{where}</b>. Your tasks and policy.toml will "
        f"know it as <b>{escape(sign_in.caller)}</b>; it may ask for whatever policy.toml allows.</p>"
        "<p>Go on only if you have just started this yourself. If a message or a page led you here, "
        f'say no.</p>{alert}<form method="post" action="/consent">'
        f'<input type="hidden" name="txn" value="{escape(number)}">'
        '<label for="key">The key of this relay, the first one of API_KEY in its .env</label>'
        '<input id="key" name="key" type="password" autocomplete="off" spellcheck="false" autofocus>'
        '<button>Let it in</button><button name="no" value="no">No</button></form>'
    )
    parts = urlsplit(sign_in.redirect_uri)
    # Browsers hold also the redirect after a form against form-action.
    status = HTTPStatus.OK if left is None else HTTPStatus.FORBIDDEN
    return _page(text, status, f"'self' {parts.scheme}://{parts.netloc}")


def _page(text: str, status: HTTPStatus, form_action: str = "'none'") -> Response:
    return page("Let an app in?", text, status, form_action)
