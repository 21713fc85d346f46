"""Routes for the OpenAPI document and the page that shows it.

Both are public, so the server prepares their bytes once, when they are first asked for. The page has a strict
content security policy and loads nothing from other hosts.
"""

import asyncio
import gzip
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from fastapi import APIRouter, Request
from starlette.responses import Response

from pointledger.api.schemas.envelope import Problem

document_router = APIRouter(include_in_schema=False)
router = APIRouter(prefix="/docs", include_in_schema=False)

_SCRIPT, _STYLE = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
_ASSETS = {"swagger-ui-bundle.js": _SCRIPT, "swagger-ui.css": _STYLE, "start.js": _SCRIPT}
_PAGE_HEADERS = {
    # No other hosts, no inline scripts, no eval. The style sheet has images as `data:`. Users enter a token
    # on this page to try requests, so no other page may frame it.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "max-age=3600",
}


class StaticFile(NamedTuple):
    """A file's bytes, plain and packed by gzip."""

    plain: bytes
    packed: bytes


def static_file(plain: bytes) -> StaticFile:
    """Pack the bytes once, because they are sent often."""
    return StaticFile(plain, gzip.compress(plain, mtime=0))


class RenderedOnce:
    """A file that a thread renders when it is first asked for, so that the event loop goes on."""

    def __init__(self, render: Callable[[], bytes]) -> None:
        self._render = render
        self._rendered: asyncio.Future[StaticFile] | None = None

    async def get(self) -> StaticFile:
        """Return the file. All who ask at first wait for one rendering."""
        if self._rendered is None:
            self._rendered = asyncio.ensure_future(asyncio.to_thread(lambda: static_file(self._render())))
        return await asyncio.shield(self._rendered)  # a caller that leaves does not end it for the others


@document_router.get("/openapi.json")
async def openapi_json(request: Request) -> Response:
    """Return the OpenAPI document."""
    rendered = await request.app.state.openapi_json.get()
    return _file_response(request, rendered, {"Content-Type": "application/json"})


@router.get("")
async def page(request: Request) -> Response:
    """Return the page."""
    return _file_response(
        request, _file("index.html"), _PAGE_HEADERS | {"Content-Type": "text/html; charset=utf-8"}
    )


@router.get("/{asset}")
async def asset(request: Request, asset: str) -> Response:
    """Return a file that the page loads."""
    if asset not in _ASSETS:
        raise Problem(404, "no such path")
    return _file_response(request, _file(asset), _PAGE_HEADERS | {"Content-Type": _ASSETS[asset]})


def _file_response(request: Request, content: StaticFile, headers: dict[str, str]) -> Response:
    headers = headers | {"X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", "").lower():
        return Response(content.packed, headers=headers | {"Content-Encoding": "gzip"})
    return Response(content.plain, headers=headers)


@lru_cache(maxsize=len(_ASSETS) + 1)
def _file(name: str) -> StaticFile:
    """Read a file of the viewer. Large files are stored packed."""
    folder = files("pointledger.api") / "viewer"
    if (packed_file := folder / f"{name}.gz").is_file():
        packed = packed_file.read_bytes()
        return StaticFile(gzip.decompress(packed), packed)
    return static_file((folder / name).read_bytes())
