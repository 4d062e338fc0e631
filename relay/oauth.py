"""OAuth for one owner, on the SDK's handlers. Imported when the first app asks: see `relay.signing`."""

from __future__ import annotations

import math
import re

from mcp.server.auth.handlers.authorize import AuthorizationHandler
from mcp.server.auth.handlers.register import RegistrationHandler
from mcp.server.auth.handlers.token import TokenHandler
from mcp.server.auth.middleware.client_auth import AuthenticationError, ClientAuthenticator
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    AuthorizeError,
    OAuthAuthorizationServerProvider,
    RefreshToken,
    RegistrationError,
    TokenError,
)
from mcp.server.auth.settings import ClientRegistrationOptions
from mcp.shared.auth import InvalidRedirectUriError, OAuthClientInformationFull, OAuthToken
from pydantic import AnyUrl
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from relay import apps, redirects
from relay.discovery import SCOPES, WITH_SECRET, resource
from relay.errors import Code, Problem
from relay.hub import Relay
from relay.signins import SignIn, SignIns
from relay.tables import Token
from relay.tokens import Grant, digest, new_token

DAY_S = 86_400
ACCESS_S = 60 * DAY_S
"""Long, because apps are bad at renewing; each request asks whether the token is still good."""
REFRESH_S = 90 * DAY_S
REUSE_S = 30.0
"""So long a spent refresh token still works: the answer to it may have been lost on the way."""
MAX_INFO_CHARS = 10_000
_CHALLENGE = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636, 4.2


class Client(OAuthClientInformationFull):
    """A registered app, and the two places where the SDK is stricter than the standards ask."""

    def validate_scope(self, requested_scope: str | None) -> list[str] | None:  # noqa: ARG002 - the SDK's
        """The one scope there is, whatever an app asks for (RFC 6749, 3.3)."""
        return list(SCOPES)

    def validate_redirect_uri(self, redirect_uri: AnyUrl | None) -> AnyUrl:
        """As registered, but for the port of a program on the user's machine (RFC 8252, 7.3)."""
        try:
            return super().validate_redirect_uri(redirect_uri)
        except InvalidRedirectUriError:
            asked = str(redirect_uri)
            known = [str(one) for one in self.redirect_uris or () if redirects.is_loopback(str(one))]
            same = {redirects.without_port(one) for one in known}
            if not redirects.is_loopback(asked) or redirects.without_port(asked) not in same:
                raise
            return AnyUrl(asked)


class Desk(OAuthAuthorizationServerProvider[AuthorizationCode, RefreshToken, AccessToken]):
    """Registers apps, asks the owner, hands out tokens and takes them back."""

    def __init__(self, relay: Relay, sign_ins: SignIns) -> None:
        self._relay = relay
        self._sign_ins = sign_ins
        self._who = ClientAuthenticator(self)
        self.authorize_app = AuthorizationHandler(self).handle
        self.register = RegistrationHandler(self, ClientRegistrationOptions(enabled=True)).handle
        self.token = TokenHandler(self, self._who).handle

    async def revoke(self, request: Request) -> Response:
        """RFC 7009. Not the SDK's: that refuses an app that has no secret."""
        try:
            client = await self._who.authenticate_request(request)
        except AuthenticationError as problem:
            return JSONResponse({"error": "invalid_client", "error_description": problem.message}, 401)
        token = (await request.form()).get("token")
        if not isinstance(token, str):
            return JSONResponse({"error": "invalid_request", "error_description": "token is missing"}, 400)
        if found := await self._relay.writer.run(apps.find_token, digest(token), client.client_id):
            await self._end(found.family)
        return Response(status_code=200, headers={"Cache-Control": "no-store"})

    async def get_client(self, client_id: str) -> Client | None:
        """The app, or None: it then registers anew."""
        app = await self._relay.writer.run(apps.find, client_id)
        return Client.model_validate_json(app.info) if app else None

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        """Remember an app. What it gets may differ from what it asked for (RFC 7591, 3.2.1)."""
        uris = [str(uri) for uri in client_info.redirect_uris or ()]
        if strange := [uri for uri in uris if not redirects.is_allowed(uri)]:
            raise RegistrationError(
                "invalid_redirect_uri",
                f"{strange[0][:200]} is not the callback of an app that this relay knows; it lets in Claude, "
                "ChatGPT, Gemini and programs on your own machine",
            )
        if client_info.client_secret is not None:
            # With HTTP Basic the SDK wants the client's id in the form as well, where apps leave it out.
            client_info.token_endpoint_auth_method = WITH_SECRET
        client_info.grant_types = ["authorization_code", "refresh_token"]
        client_info.scope = " ".join(SCOPES)
        info = client_info.model_dump_json(exclude_none=True)
        if len(info) > MAX_INFO_CHARS:
            raise RegistrationError("invalid_client_metadata", f"more than {MAX_INFO_CHARS} characters")
        name, now = redirects.called(client_info.client_name), self._relay.now()
        try:
            await self._relay.writer.run(apps.register, client_info.client_id, name, info, now)
        except apps.Crowded as full:
            raise Problem(Code.TOO_MANY, str(full), retry_after=math.ceil(full.seconds)) from None

    async def authorize(self, client: OAuthClientInformationFull, params: AuthorizationParams) -> str:
        """Where to ask the owner."""
        own = self._relay.settings.address
        if (params.resource or own).rstrip("/") not in {own, resource(own)}:
            raise AuthorizeError("invalid_target", f"This relay gives tokens for {resource(own)} only")
        if not _CHALLENGE.fullmatch(params.code_challenge):
            raise AuthorizeError(
                "invalid_request", "code_challenge must be 43 to 128 letters, digits and -._~"
            )
        uri = str(params.redirect_uri)
        number = self._sign_ins.begin(
            SignIn(
                client_id=client.client_id,
                app=redirects.called(client.client_name),
                redirect_uri=uri,
                is_explicit=params.redirect_uri_provided_explicitly,
                state=params.state,
                challenge=params.code_challenge,
                resource=params.resource,
                caller=redirects.caller_name(uri, client.client_name, self._relay.doors.names()),
            )
        )
        return f"{own}/consent?txn={number}"

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        """What the code stands for; it is used up by being asked about."""
        if used := self._sign_ins.used(authorization_code):
            # Somebody else has it: what came of it ends as well (RFC 6749, 4.1.2).
            used.is_over = True
            await self._end(used.family)
            return None
        found = self._sign_ins.take(authorization_code, client.client_id)
        if found is None:
            return None
        return AuthorizationCode(
            code=authorization_code,
            scopes=SCOPES,
            expires_at=2**40,  # judged by `take`, on the relay's clock
            client_id=client.client_id,
            code_challenge=found.challenge,
            redirect_uri=AnyUrl(found.redirect_uri),
            redirect_uri_provided_explicitly=found.is_explicit,
            resource=found.resource,
            subject=found.caller,
        )

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        """The first tokens of a sign-in."""
        sign_in = self._sign_ins.used(authorization_code.code)
        if sign_in is not None:
            caller, family = sign_in.caller, sign_in.family
            await self._relay.writer.run(apps.let_in, client.client_id, caller, self._relay.now())
            told, rows = self._fresh(client.client_id, caller, family)
            await self._relay.writer.run(apps.keep, rows)
            # Asked when they are on disk: whoever ends it meanwhile finds them there, or is found here.
            if not sign_in.is_over:
                return self._handed_out(told, rows)
            await self._end(family)
        raise TokenError("invalid_grant", "The sign-in has just ended")

    async def load_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: str
    ) -> RefreshToken | None:
        """The token if it still works. One that comes again long after it was spent was stolen, then
        or now, so everything of its sign-in ends (RFC 9700, 4.14.2)."""
        now = self._relay.now()
        found = await self._relay.writer.run(apps.find_token, digest(refresh_token), client.client_id)
        if found is None or found.kind != apps.REFRESH or found.expires_at <= now:
            return None
        if found.used_at is not None and now - found.used_at > REUSE_S:
            await self._end(found.family)
            return None
        return RefreshToken(
            token=refresh_token, client_id=client.client_id, scopes=SCOPES, subject=found.family
        )

    async def exchange_refresh_token(
        self,
        client: OAuthClientInformationFull,
        refresh_token: RefreshToken,
        scopes: list[str],  # noqa: ARG002
    ) -> OAuthToken:
        """New tokens for a spent one. The caller's name stays that of the sign-in."""
        spent = digest(refresh_token.token)
        # Not the app's: that is the name of its latest sign-in, which may have led elsewhere.
        found = await self._relay.writer.run(apps.find_token, spent, client.client_id)
        if found is not None:
            fresh, rows = self._fresh(client.client_id, found.caller, found.family)
            if await self._relay.writer.run(apps.renew, spent, rows, self._relay.now()):
                return self._handed_out(fresh, rows)
        raise TokenError("invalid_grant", "The sign-in has just ended")

    def _fresh(self, client_id: str, caller: str, family: str) -> tuple[OAuthToken, list[Token]]:
        """New tokens, as the app gets them and as they are kept."""
        now = self._relay.now()
        access, refresh = new_token(apps.ACCESS), new_token(apps.REFRESH)
        rows = [
            Token(
                digest=digest(text),
                kind=kind,
                family=family,
                client_id=client_id,
                caller=caller,
                expires_at=now + s,
            )
            for text, kind, s in ((access, apps.ACCESS, ACCESS_S), (refresh, apps.REFRESH, REFRESH_S))
        ]
        told = OAuthToken(
            access_token=access, expires_in=ACCESS_S, scope=" ".join(SCOPES), refresh_token=refresh
        )
        return told, rows

    def _handed_out(self, told: OAuthToken, rows: list[Token]) -> OAuthToken:
        """*told*, once its *rows* are on disk: from now on it opens the door."""
        access = rows[0]
        self._relay.doors.tokens.keep({access.digest: Grant(access.caller, access.family, access.expires_at)})
        return told

    async def _end(self, family: str) -> None:
        await self._relay.writer.run(apps.end_family, family)
        self._relay.doors.tokens.drop({family})
