"""The relay, put together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import AwareDatetime, BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from relay import (
    apps,
    channel,
    control,
    endings,
    errors,
    instructions,
    machines,
    openapi,
    projects,
    reports,
    signing,
    store,
    tables,
    tasks,
    webhook,
)
from relay.auth import Doors
from relay.clock import steady_clock
from relay.door import PATH, Door
from relay.hub import Hub, Relay
from relay.manual import manual
from relay.page import page
from relay.settings import Settings
from relay.sweep import sweep
from relay.version import VERSION
from relay.writer import Unavailable, Writer

log = logging.getLogger(__name__)


class Health(BaseModel):
    """What anybody may know: that it runs, and how many machines are connected. No names."""

    status: str = "running"
    service: str = "ai-webhook relay"
    version: str = VERSION
    connected_clients: int
    timestamp: AwareDatetime


def create_app(
    settings: Settings, now: Callable[[], float] = time.time, steady: Callable[[], float] | None = None
) -> FastAPI:
    """The whole relay on the database that *settings* names. Opens it; raises
    tables.CannotOpen when the file cannot be used. *now* and *steady*: see hub.Relay."""
    hub = Hub()
    relay = Relay(
        settings=settings,
        doors=Doors(settings, hub.clock, now),
        writer=Writer(tables.open_database(settings.relay_sqlite_path)),
        hub=hub,
        now=now,
        steady=steady or steady_clock(now),
    )

    door = Door(relay, VERSION)
    app = FastAPI(
        title="ai-webhook relay",
        version=VERSION,
        summary="Say it to your phone; your own machine does it.",
        lifespan=_living(relay, door),
        # A redirect would lead to http, where the key travels in the open.
        redirect_slashes=False,
        # FastAPI's own load scripts from elsewhere, where the owner's key is typed.
        docs_url=None,
        redoc_url=None,
        # Nobody is told what comes in here, whatever the environment asks for.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    # For whoever serves it: called before open requests are waited for.
    app.state.stopping = hub.stop
    _answer_errors(app)

    _answer_anybody(app, relay)
    for room in (webhook, tasks, reports, control, machines, projects, apps, channel, instructions):
        app.include_router(room.routes(relay))
    app.router.routes[:0] = [
        *_shortcuts(relay),
        Route(PATH, door, methods=["POST", "OPTIONS"]),
        *signing.routes(relay),
    ]
    openapi.complete(app)
    return app


def _answer_anybody(app: FastAPI, relay: Relay) -> None:
    """What needs no key."""

    @app.get("/", tags=["health"], response_model=Health)
    async def health() -> Health:
        """Whether the relay runs, and how many machines are connected."""
        return Health(
            connected_clients=relay.hub.count_online(), timestamp=datetime.fromtimestamp(relay.now(), UTC)
        )

    @app.get("/docs", include_in_schema=False)
    async def for_people() -> Response:
        return page("How to ask", manual(app.openapi()), is_wide=True)

    @app.get("/errors", response_class=PlainTextResponse, include_in_schema=False)
    async def error_table() -> str:
        return errors.table()


def _shortcuts(relay: Relay) -> list[Route]:
    """Endpoints that FastAPI describes and Starlette runs: the way through FastAPI takes a quarter
    of an accepted webhook's time."""
    return [
        Route(webhook.PATH, webhook.endpoint(relay), methods=["POST"]),
        Route(reports.PATH, reports.endpoint(relay), methods=["PUT"]),
    ]


def _living(relay: Relay, door: Door) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """What runs from the start to the stop."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        relay.writer.start()
        for name, machine in (await relay.writer.run(store.last_seen)).items():
            relay.hub.recall(name, max(0.0, relay.now() - machine.seen_at))
        for task_id in await relay.writer.run(endings.abandon, relay.doors.machines.names(), relay.now()):
            log.warning("Task %s ended: its machine has no key here any more.", task_id)
        relay.doors.tokens.keep(await relay.writer.run(apps.grants, relay.now()))
        relay.hub.announced |= await relay.writer.run(store.announced)
        sweeper = asyncio.create_task(sweep(relay))
        async with door.open():
            yield
        sweeper.cancel()
        await asyncio.gather(sweeper, return_exceptions=True)
        relay.writer.stop()

    return lifespan


def _answer_errors(app: FastAPI) -> None:
    """Give every error the one shape of `relay.errors`."""

    @app.exception_handler(errors.Problem)
    async def problem(_: Request, problem: errors.Problem) -> JSONResponse:
        return problem.response()

    @app.exception_handler(Unavailable)
    async def unavailable(_: Request, problem: Unavailable) -> JSONResponse:
        return errors.Problem(errors.Code.UNAVAILABLE, str(problem), retry_after=2).response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, problem: RequestValidationError) -> JSONResponse:
        first = problem.errors()[0]
        field = str(first["loc"][-1])
        detail = f"{field}: {first['msg']}, not {str(first.get('input'))[:60]!r}"
        return errors.Problem(errors.Code.MALFORMED, detail, field=field).response()

    @app.exception_handler(HTTPException)
    async def found_by_framework(request: Request, problem: HTTPException) -> JSONResponse:
        answer = errors.from_status(request, problem.status_code, str(problem.detail)).response()
        if problem.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            told = (problem.headers or {}).get("Allow", "").split(", ")
            answer.headers["Allow"] = ", ".join(openapi.methods(app, request.url.path) or sorted(told))
        return answer

    @app.exception_handler(Exception)
    async def ours(_: Request, __: Exception) -> JSONResponse:
        return errors.Problem(errors.Code.INTERNAL, "A fault of ours; the relay's log has it").response()
