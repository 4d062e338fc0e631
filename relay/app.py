"""The relay, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import AwareDatetime, BaseModel
from starlette.exceptions import HTTPException

from relay import channel, errors, tables, tasks, webhook
from relay.auth import Doors
from relay.hub import Hub, Relay
from relay.settings import Settings
from relay.writer import Unavailable, Writer

VERSION = "0.1.0"


class Health(BaseModel):
    """What anybody may know: that it runs, and how many machines are connected. No names."""

    status: str = "running"
    service: str = "ai-webhook relay"
    version: str = VERSION
    connected_clients: int
    timestamp: AwareDatetime


def create_app(settings: Settings) -> FastAPI:
    """The whole relay on the database that *settings* names. Opens it; raises
    tables.CannotOpen when the file cannot be used."""
    secret = settings.github_webhook_secret
    relay = Relay(
        settings=settings,
        doors=Doors(settings.callers(), settings.machines(), secret.get_secret_value() if secret else None),
        writer=Writer(tables.open_database(settings.relay_sqlite_path)),
        hub=Hub(),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        relay.writer.start()
        yield
        relay.writer.stop()

    app = FastAPI(
        title="ai-webhook relay",
        version=VERSION,
        summary="Say it to your phone; your own machine does it.",
        lifespan=lifespan,
    )
    _answer_errors(app)

    @app.get("/", tags=["health"], response_model=Health)
    async def health() -> Health:
        """Whether the relay runs, and how many machines are connected."""
        return Health(connected_clients=relay.hub.count_online(), timestamp=datetime.now(UTC))

    @app.get("/errors", response_class=PlainTextResponse, include_in_schema=False)
    async def error_table() -> str:
        return errors.table()

    for room in (webhook, tasks, channel):
        app.include_router(room.routes(relay))
    return app


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
        return errors.from_status(request, problem.status_code, str(problem.detail)).response()

    @app.exception_handler(Exception)
    async def ours(_: Request, __: Exception) -> JSONResponse:
        return errors.Problem(errors.Code.INTERNAL, "A fault of ours; the relay's log has it").response()
