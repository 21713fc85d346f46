"""Creates the console's ASGI application: its routes, and a page for each error."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pointledger.api.console import login, problems, static_files
from pointledger.api.console.addresses import ROOT, address, own
from pointledger.api.console.pages import (
    acts,
    audits,
    batches,
    command,
    command_actions,
    dead,
    dead_letters,
    doctor,
    home,
    member,
    member_actions,
    pauses,
    program,
    program_editor,
    queue,
    rule_editor,
    rules,
    statement,
    today,
    try_event,
)
from pointledger.api.console.security import Security
from pointledger.api.console.session import Session
from pointledger.api.console.state import ConsoleState, open_state
from pointledger.api.console.streams import Streams, stream_endpoint
from pointledger.api.console.visit import endpoint
from pointledger.settings import Settings

PAGES = (
    home, today, audits, doctor, member, member_actions, statement,
    queue, dead, dead_letters, batches, pauses, command, command_actions,
    try_event, rule_editor, rules, acts, program, program_editor,
)  # fmt: skip

Endpoint = Callable[[Request], Awaitable[Response]]
OpenState = Callable[[Settings], AbstractAsyncContextManager[ConsoleState]]


def create_console(settings: Settings, open_state: OpenState = open_state) -> Starlette:
    """Create the ASGI application. It connects on startup."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_state(settings) as console:
            app.state.console = console
            yield

    app = Starlette(
        routes=[*_own_routes(), *_page_routes()],
        middleware=[Middleware(Security)],
        exception_handlers={HTTPException: _no_such_page},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # a trailing slash makes a different path
    app.state.streams = Streams()
    app.state.is_stopping = lambda: False  # the server says it, once there is one
    return app


def _own_routes() -> list[Route]:
    return [
        Route(ROOT, _guarded(_choose)),
        Route(own("login"), _guarded(login.login)),
        Route(own("callback"), _guarded(login.callback)),
        Route(own("logout"), _guarded(login.logout), methods=["POST"]),
        Route(own("goodbye"), _guarded(login.goodbye)),
        Route(own("static/{name}"), _guarded(_static)),
    ]


def _page_routes() -> Iterator[Route]:
    for module in PAGES:
        for route in module.ROUTES:
            yield Route(_path(route.path), _guarded(endpoint(route)), methods=[route.method])
        for stream in getattr(module, "STREAMS", ()):
            yield Route(_path(stream.path), _guarded(stream_endpoint(stream)))


def _path(below: str) -> str:
    return f"{ROOT}/{{tenant}}" + (f"/{below}" if below else "")


async def _choose(request: Request) -> Response:
    """Lead to the tenant, or let the person choose one."""
    console: ConsoleState = request.app.state.console
    session: Session | None = request.state.session
    if session is None:
        return problems.login_needed(request, ROOT)
    if len(session.tenants) == 1:
        return RedirectResponse(address(session.tenants[0]), 303)
    return console.renderer.page("choose.html", session=session, token=console.sessions.token(session))


async def _static(request: Request) -> Response:
    response = await static_files.respond(request)
    if response is None:
        raise problems.not_found()
    return response


async def _no_such_page(request: Request, error: Any) -> Response:
    """Answer what the router rejects: an unknown path or method."""
    console: ConsoleState = request.app.state.console
    return problems.respond(console, request.scope, problems.Shown(error.status_code, problems.NO_PAGE))


def _guarded(answer: Endpoint) -> Endpoint:
    """Return the endpoint with a page for every error. Starlette would raise an unknown one again."""

    async def respond(request: Request) -> Response:
        try:
            return await answer(request)
        except HTTPException:
            raise
        except Exception as error:
            return problems.respond(request.app.state.console, request.scope, problems.shown_of(error))

    return respond
