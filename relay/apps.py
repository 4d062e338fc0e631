"""Apps that the owner let in by OAuth: what is kept of them, who they are, and how they are shut out.

The first half are plain functions on `relay.tables`, run by `relay.writer` inside a transaction."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from relay import openapi
from relay.errors import Code, Problem
from relay.hub import Relay
from relay.tables import App, Token
from relay.tasks import json_response
from relay.tokens import Grant

MAX_STRANGERS = 100
"""Registered apps that nobody has let in yet; anybody may register one."""
YOUNG_S = 900.0
"""So long an app that was registered may count on being known: its owner looks for the key."""
STRANGER_S = 86_400.0
ACCESS, REFRESH = "access", "refresh"


class Crowded(Exception):
    """Too many apps were registered lately; `seconds` says when the next may be."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Too many apps were registered lately; wait {seconds:.0f} seconds")
        self.seconds = seconds


def register(client_id: str, name: str, info: str, now: float) -> None:
    """Remember an app that wants to come in. The oldest that was never let in makes room, but none that
    is younger than YOUNG_S. Raises Crowded."""
    young = App.pick(
        "registered_at", "caller IS NULL AND registered_at > ? ORDER BY registered_at", now - YOUNG_S
    )
    if len(young) >= MAX_STRANGERS:
        raise Crowded(young[0][0] + YOUNG_S - now)
    App.insert(client_id=client_id, name=name, info=info, registered_at=now).execute()
    App.delete().where(App.caller.is_null(), App.registered_at < now - STRANGER_S).execute()
    oldest = "caller IS NULL ORDER BY registered_at DESC, rowid DESC LIMIT -1 OFFSET ?"
    _delete(App.pick("client_id", oldest, MAX_STRANGERS))


def find(client_id: str) -> App | None:
    """The app, or None."""
    found = App.find("client_id = ?", client_id)
    return found[0] if found else None


def let_in(client_id: str, caller: str, now: float) -> None:
    """The owner said yes; from now on the app is known as *caller*."""
    App.change("caller = ?, let_in_at = ?", "client_id = ?", caller, now, client_id)


def keep(tokens: Iterable[Token]) -> None:
    """Put tokens on disk."""
    for token in tokens:
        token.add()


def find_token(digest: str, client_id: str) -> Token | None:
    """The token of this app, whether it is still good or not; or None."""
    found = Token.find("digest = ? AND client_id = ?", digest, client_id)
    return found[0] if found else None


def renew(spent: str, tokens: Iterable[Token], now: float) -> bool:
    """Put *tokens* on disk for a refresh token that is *spent*, by its digest; of its uses only the first
    counts. False, and nothing is kept, when its sign-in has ended meanwhile."""
    if not Token.change("used_at = coalesce(used_at, ?)", "digest = ?", now, spent):
        return False
    keep(tokens)
    return True


def end_family(family: str) -> None:
    """End every token of one sign-in."""
    Token.delete().where(Token.family == family).execute()


def end_caller(caller: str) -> set[str]:
    """End every token of the apps that are known as *caller*. Returns the families that ended."""
    ended = {family for (family,) in Token.pick("DISTINCT family", "caller = ?", caller)}
    Token.delete().where(Token.caller == caller).execute()
    return ended


def inside(now: float) -> list[tuple[App, float]]:
    """The apps that are let in, and until when their tokens are good without a new sign-in."""
    until = dict(Token.pick("client_id, max(expires_at)", "expires_at > ? GROUP BY client_id", now))
    return [
        (app, until[app.client_id])
        for app in App.find("caller IS NOT NULL ORDER BY let_in_at DESC")
        if app.client_id in until
    ]


def grants(now: float) -> dict[str, Grant]:
    """Every access token that is good at *now*, by digest."""
    found = Token.pick("digest, caller, family, expires_at", "kind = ? AND expires_at > ?", ACCESS, now)
    return {digest: Grant(caller, family, expires) for digest, caller, family, expires in found}


def forget(now: float) -> None:
    """Forget tokens that have expired, and apps that have none left."""
    Token.delete().where(Token.expires_at < now).execute()
    gone = "caller IS NOT NULL AND let_in_at < ? AND client_id NOT IN (SELECT client_id FROM tokens)"
    _delete(App.pick("client_id", gone, now - STRANGER_S))


def _delete(found: list[tuple[str]]) -> None:
    App.delete().where(App.client_id.in_([client_id for (client_id,) in found])).execute()


class AppView(BaseModel):
    """One app that the owner let in."""

    caller: str = Field(description="Its name in policy.toml and in the list of tasks.")
    app: str = Field(description="What it calls itself.")
    let_in_at: AwareDatetime
    expires_at: AwareDatetime = Field(description="When it must sign in again, unless it comes back before.")


class AppList(BaseModel):
    """The answer to `GET /apps`."""

    apps: list[AppView]


def routes(relay: Relay) -> APIRouter:
    """The endpoints."""
    router = APIRouter(tags=["apps"])

    @router.get("/apps", response_model=AppList, responses=openapi.problems())
    async def list_apps(request: Request) -> Response:
        """The apps that were let in by OAuth and can still come in, the newest first."""
        relay.doors.caller(request)
        found = await relay.writer.run(inside, relay.now())
        return json_response(AppList(apps=[_view(app, until) for app, until in found]))

    @router.delete(
        "/apps/{caller}", status_code=HTTPStatus.NO_CONTENT, responses=openapi.problems(Code.NOT_FOUND)
    )
    async def shut_out(request: Request, caller: str) -> Response:
        """Shut out every app that is known by this name, at once. Takes the owner's key."""
        relay.doors.owner(request)
        # First what has led to no token yet, so that none comes of it in between.
        was_coming = relay.doors.sign_ins.end_caller(caller)
        ended = await relay.writer.run(end_caller, caller)
        if not ended and not was_coming:
            raise Problem(Code.NOT_FOUND, f"No app {caller[:60]!r} is let in; GET /apps lists those that are")
        relay.doors.tokens.drop(ended)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    return router


def _view(app: App, until: float) -> AppView:
    return AppView(
        caller=str(app.caller),
        app=app.name,
        let_in_at=datetime.fromtimestamp(app.let_in_at or 0, UTC),
        expires_at=datetime.fromtimestamp(until, UTC),
    )
