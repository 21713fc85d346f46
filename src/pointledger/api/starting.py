"""What the API answers while it waits for the database: 503, except that the process is alive.

A database that restarts, recovers or fails over comes back, so the process waits for it. Only what waiting
cannot cure ends the process, such as a database that is not migrated.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from pointledger.api.schemas.envelope import Problem, data_response
from pointledger.events.retry import retry_at_start
from pointledger.logs import Log
from pointledger.observability.doctor import require_safe
from pointledger.observability.heartbeat import Heartbeat
from pointledger.settings import Settings
from pointledger.storage.database import bounded_engine_for
from pointledger.storage.errors import may_pass
from pointledger.storage.revision import require_current

_RETRY_SECONDS = 1

# What people see meanwhile. The page asks again by itself.
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>Not available right now</title></head>
<body><h1>Not available right now</h1>
<p>The console waits for the database. This page loads itself again.</p></body></html>"""
_PAGE_SECONDS = 5
_PAGE_HEADERS = {
    "Refresh": str(_PAGE_SECONDS),
    "Retry-After": str(_PAGE_SECONDS),
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}

_log = Log(__name__)


def wait_for_database(
    settings: Settings, heartbeat: Heartbeat, answering: Callable[[], AbstractContextManager[None]]
) -> None:
    """Return when the database answers and fits this process.

    Only if it does not answer at once, the wait is in the block of `answering()`, because the end of that
    server closes its connections. Raises DatabaseNotMigrated, LaneCountDiffers, UnsafeConfiguration,
    DatabaseFailed and HealthFolderUnusable.
    """
    database = bounded_engine_for(settings)

    def check() -> None:
        heartbeat.beat()
        require_current(database, settings.lanes)
        require_safe(database, settings)

    try:
        check()
    except Exception as error:
        if not may_pass(error):
            raise
        with answering():
            retry_at_start(check, _log)
    finally:
        database.dispose()


async def _healthz(_: Request) -> Response:
    return data_response({"status": "ok"})


async def _unavailable(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http" and f"{scope['path']}/".startswith("/console/"):
        await Response(_PAGE, 503, _PAGE_HEADERS, "text/html")(scope, receive, send)
        return
    problem = Problem(503, "the server waits for the database; retry", retry_after=_RETRY_SECONDS)
    await problem.response()(scope, receive, send)


def create_starting_app() -> Router:
    """Create the ASGI application that needs no database."""
    return Router([Route("/healthz", _healthz)], default=_unavailable)
