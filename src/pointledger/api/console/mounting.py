"""Serves the console beside the HTTP API: two applications, and the path decides."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from pointledger.api.console.addresses import ROOT


def with_console(api: FastAPI, console: Starlette) -> ASGIApp:
    """Return an application that serves both."""

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        async with api.router.lifespan_context(api), console.router.lifespan_context(console):
            yield

    both = Router(lifespan=lifespan)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await both(scope, receive, send)
        elif scope["type"] == "http" and _is_consoles(scope["path"]):
            await console(scope, receive, send)
        else:
            await api(scope, receive, send)

    return app


def _is_consoles(path: str) -> bool:
    return path == ROOT or path.startswith(f"{ROOT}/")
