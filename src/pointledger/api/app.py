"""Creates the ASGI application: routes, the guard before them, and the response to each error."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import orjson
import psycopg
import sqlalchemy as sa
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.responses import Response

from pointledger.api.auth.permissions import methods_of
from pointledger.api.guard import guard
from pointledger.api.middleware import Middleware
from pointledger.api.openapi import document
from pointledger.api.routes import ROUTERS, openapi
from pointledger.api.schemas.envelope import Problem
from pointledger.api.schemas.status_codes import OF_FAILURE, UNAVAILABLE
from pointledger.api.state import ApiState, open_state
from pointledger.errors import (
    BacklogFull,
    DatabaseAway,
    DatabaseFailed,
    InvalidCommand,
    InvalidRule,
    InvalidTenant,
    LedgerError,
    QueryTimeout,
    TenantBacklogFull,
)
from pointledger.logs import Log
from pointledger.settings import Settings
from pointledger.storage.errors import is_transient

_INVALID = (InvalidCommand, InvalidRule, InvalidTenant)
_MESSAGES = {404: "no such path", 405: "method not allowed"}
_RETRY_SECONDS = 1
# While tracing is on, FastAPI records a span for each request but a probe. Not its parts, which are the same
# for each route, not its errors, which may name a person, and no metrics: `api/metrics.py` has them.
_TELEMETRY: TelemetryConfig = {
    "operation_spans": False,
    "logs": False,
    "metrics": False,
    "auto_configure": False,
    "exclude": lambda scope: scope["path"] in ("/healthz", "/readyz"),
}
_BACKLOG_FULL_SECONDS = 5  # a retry before that finds little room, because workers need time to drain

_log = Log(__name__)

OpenState = Callable[[Settings], AbstractAsyncContextManager[ApiState]]


class _Api(FastAPI):
    """An application that describes itself when it is first asked: it takes a quarter of a second."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document.complete(super().openapi())
        return super().openapi()


def create_app(settings: Settings, open_state: OpenState = open_state) -> FastAPI:
    """Create the ASGI application. It connects on startup."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_state(settings) as api:
            app.state.api = api
            yield

    app = _Api(
        title="pointledger",
        description=document.ABOUT,
        version="1",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_tags=document.TAGS,
        servers=document.SERVERS,
        lifespan=lifespan,
        openapi_url=None,  # FastAPI would render the document on each request
        docs_url=None,  # FastAPI's page loads scripts from another host; `routes/openapi.py` does not
        redoc_url=None,
        telemetry=_TELEMETRY,
        redirect_slashes=False,  # a trailing slash makes a different path
        dependencies=[Depends(guard)],
    )
    app.add_middleware(Middleware)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(LedgerError, _failure)
    for error in (sa.exc.SQLAlchemyError, psycopg.Error):
        app.add_exception_handler(error, _database)
    app.add_exception_handler(Exception, _bug)
    for router in ROUTERS:
        app.include_router(router)
    app.include_router(openapi.document_router)
    if settings.http_docs:
        app.include_router(openapi.router)
    app.state.openapi_json = openapi.RenderedOnce(lambda: orjson.dumps(app.openapi()))
    return app


async def _problem(_: Request, error: Any) -> Response:
    return error.response()  # type: ignore[no-any-return]


async def _invalid(_: Request, error: Any) -> Response:
    """Name the parameter and the rule, and never echo the value."""
    message = "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors()[:5])
    return Problem(400, message).response()


async def _http(request: Request, error: Any) -> Response:
    """Answer what the framework rejects: an unknown path or method."""
    message = _MESSAGES.get(error.status_code, "the request is malformed")
    headers = {}
    if error.status_code == 405:  # noqa: PLR2004  (Method Not Allowed)
        headers["Allow"] = ", ".join(sorted(methods_of(request.scope["route"].path)))
    return Problem(error.status_code, message, headers=headers).response()


async def _failure(request: Request, error: Any) -> Response:
    if isinstance(error, TenantBacklogFull):
        message = "this tenant has too many pending commands; retry with the same key"
        return Problem(429, message, retry_after=_BACKLOG_FULL_SECONDS).response()
    if isinstance(error, BacklogFull):
        message = "too many commands are pending; retry with the same key"
        return Problem(UNAVAILABLE, message, retry_after=_BACKLOG_FULL_SECONDS).response()
    status, message, reason = next(
        (answer for kind, answer in OF_FAILURE.items() if isinstance(error, kind)), (UNAVAILABLE, "", None)
    )
    if isinstance(error, DatabaseAway | DatabaseFailed):
        return await _database(request, error)
    if isinstance(error, QueryTimeout):
        return _unavailable(
            "the query took too long and was canceled; ask for one page, one user or fewer items, or retry"
        )
    if status == UNAVAILABLE:
        _log.warning("failed", action="http", error=type(error).__name__)
        return _unavailable()
    if isinstance(error, _INVALID):
        message = str(error.args[0])  # names fields and rules, never values
    return Problem(status, message, reason=reason).response()


async def _database(request: Request, error: Any) -> Response:
    if not is_transient(error):
        return await _bug(request, error)
    _log.warning("database_is_away", action="http", error=type(error).__name__)
    if getattr(error, "maybe_done", False):
        return _unavailable(
            "the database is unavailable and the request may be done; retry with the same key"
        )
    return _unavailable()


async def _bug(_: Request, error: Any) -> Response:
    _log.error("bug", action="http", exc_info=error)
    return Problem(500, "internal error").response()


def _unavailable(message: str = "a required service is unavailable; retry") -> Response:
    return Problem(UNAVAILABLE, message, retry_after=_RETRY_SECONDS).response()
