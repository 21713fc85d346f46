"""What operators ask: liveness, readiness and metrics, on a port of its own.

It has an event loop, threads and connections to the servers of its own. So it answers while the API is busy
or stands still, and it takes nothing from the API. It needs no token, so it listens on loopback, unless the
settings say otherwise.
"""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from socket import socket
from typing import Any

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pointledger.api import metrics
from pointledger.api.cached import Cached
from pointledger.api.queries import ApiQueries
from pointledger.api.schemas.envelope import Problem, data_response
from pointledger.logs import Log
from pointledger.messaging import redis_client
from pointledger.observability.metrics import Exporter, exposition
from pointledger.settings import Settings
from pointledger.storage.database import engine_for, limited_queries
from pointledger.storage.errors import DATABASE_ERRORS

MOST_CONNECTIONS = 64  # probes, Prometheus and a few people
_MESSAGES = {404: "no such path: /healthz, /readyz and /metrics are here", 405: "method not allowed"}
_RETRY_SECONDS = 1

_log = Log(__name__)


def create_admin_app(settings: Settings) -> Starlette:
    """Create the ASGI application. It connects when it is first asked."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        database = engine_for(settings.database, pgbouncer=settings.pgbouncer)
        client = redis_client.connect(settings)
        queries = ApiQueries(limited_queries(database, settings.http_query_seconds))
        exporter = Exporter(limited_queries(database, settings.http_query_seconds), client, settings)
        with ThreadPoolExecutor(2, "admin") as threads:  # readiness must not wait for the metrics
            app.state.readiness = Cached(queries.ping, threads)
            app.state.metrics = Cached(partial(exposition, exporter), threads)
            try:
                yield
            finally:
                database.dispose()
                client.close()

    return Starlette(
        routes=[
            Route("/healthz", _healthz),
            Route("/readyz", _readyz),
            Route("/metrics", _metrics),
        ],
        exception_handlers={HTTPException: _http, Exception: _bug},
        lifespan=lifespan,
    )


async def _healthz(_: Request) -> Response:
    return data_response({"status": "ok"})


async def _readyz(request: Request) -> Response:
    try:
        await request.app.state.readiness.get()
    except DATABASE_ERRORS:
        return Problem(503, "the database is unavailable; retry", retry_after=_RETRY_SECONDS).response()
    return data_response({"status": "ok"})


async def _metrics(request: Request) -> Response:
    ledger: bytes = await request.app.state.metrics.get()
    return Response(metrics.exposition() + ledger, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _http(_: Request, error: Any) -> Response:
    return Problem(error.status_code, _MESSAGES.get(error.status_code, "the request is malformed")).response()


async def _bug(_: Request, error: Any) -> Response:
    _log.error("bug", action="admin", exc_info=error)
    return Problem(500, "internal error").response()


@contextmanager
def serving(server: uvicorn.Server, bound: socket) -> Iterator[None]:
    """Serve on the socket, in a thread, until the end of the block."""
    run: Callable[[], None] = partial(server.run, sockets=[bound])
    thread = threading.Thread(target=run, name="admin", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
