"""The application: its routes behind the guard, and what every error is answered with."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import orjson
import psycopg
import sqlalchemy as sa
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from pointledger.api import state as gateways
from pointledger.api.auth.permissions import methods_of
from pointledger.api.guard import guard
from pointledger.api.middleware import Edge
from pointledger.api.openapi import document
from pointledger.api.routes import ROUTERS, openapi
from pointledger.api.schemas.envelope import Problem
from pointledger.api.schemas.status_codes import OF_FAILURE, UNAVAILABLE
from pointledger.api.state import Gateway
from pointledger.errors import (
    BacklogFull,
    DatabaseAway,
    DatabaseFailed,
    InvalidCommand,
    InvalidRule,
    InvalidTenant,
    LedgerError,
)
from pointledger.logs import Log
from pointledger.settings import Settings
from pointledger.storage.errors import is_transient

_INVALID = (InvalidCommand, InvalidRule, InvalidTenant)
_PHRASES = {404: "there is no such address", 405: "not with this method"}
_AGAIN_SECONDS = 1
_FULL_SECONDS = 5  # workers take that long to make room that is worth asking for

_log = Log(__name__)

Opened = Callable[[Settings], AbstractAsyncContextManager[Gateway]]


def create_app(settings: Settings, opened: Opened = gateways.opened) -> FastAPI:
    """The gateway as an ASGI application; it connects when it is started."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with opened(settings) as gateway:
            app.state.gateway = gateway
            yield

    app = FastAPI(
        title="pointledger",
        description=document.ABOUT,
        version="1",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_tags=document.TAGS,
        servers=document.SERVERS,
        lifespan=lifespan,
        openapi_url=None,  # it would be written anew for everybody who asks
        docs_url=None,  # its page would load scripts from elsewhere; `routes/docs.py` does not
        redoc_url=None,
        redirect_slashes=False,  # an address with a slash more is another address
        dependencies=[Depends(guard)],
    )
    app.add_middleware(Edge, concurrency=settings.http_concurrency)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(LedgerError, _failure)
    for error in (sa.exc.SQLAlchemyError, psycopg.Error):
        app.add_exception_handler(error, _database)
    app.add_exception_handler(Exception, _bug)
    for router in ROUTERS:
        app.include_router(router)
    app.include_router(openapi.described)
    if settings.http_docs:
        app.include_router(openapi.router)
    document.describe(app)
    app.state.description = openapi.document(orjson.dumps(app.openapi()))
    return app


async def _problem(_: Request, error: Any) -> Response:
    return error.answer()  # type: ignore[no-any-return]


async def _invalid(_: Request, error: Any) -> Response:
    """Names where and what rule, and shows nothing of what came."""
    told = "; ".join(f"{finding['loc'][-1]}: {finding['msg']}" for finding in error.errors()[:5])
    return Problem(400, told).answer()


async def _http(request: Request, error: Any) -> Response:
    """What the framework refuses: no such address, not with this method."""
    message = _PHRASES.get(error.status_code, "the request is malformed")
    headers = {}
    if error.status_code == 405:  # noqa: PLR2004  (Method Not Allowed)
        headers["Allow"] = ", ".join(sorted(methods_of(request.scope["route"].path)))
    return Problem(error.status_code, message, headers=headers).answer()


async def _failure(request: Request, error: Any) -> Response:
    if isinstance(error, BacklogFull):
        told = "too much waits to be applied; ask again, with the same key"
        return Problem(UNAVAILABLE, told, retry_after=_FULL_SECONDS).answer()
    status, message, reason = next(
        (answer for kind, answer in OF_FAILURE.items() if isinstance(error, kind)), (UNAVAILABLE, "", None)
    )
    if isinstance(error, DatabaseAway | DatabaseFailed):
        return await _database(request, error)
    if status == UNAVAILABLE:
        _log.warning("failed", action="http", error=type(error).__name__)
        return _unavailable()
    if isinstance(error, _INVALID):
        message = str(error.args[0])  # fields and rules, without their values
    return Problem(status, message, reason=reason).answer()


async def _database(request: Request, error: Any) -> Response:
    if not is_transient(error):
        return await _bug(request, error)
    _log.warning("database_is_away", action="http", error=type(error).__name__)
    if getattr(error, "maybe_done", False):
        return _unavailable("the database is away and this may be done; ask again, with the same key")
    return _unavailable()


async def _bug(_: Request, error: Any) -> Response:
    _log.error("bug", action="http", exc_info=error)
    return Problem(500, "something is wrong here, and is noted").answer()


def _unavailable(told: str = "something that is needed is away; ask again") -> Response:
    return Problem(UNAVAILABLE, told, retry_after=_AGAIN_SECONDS).answer()
