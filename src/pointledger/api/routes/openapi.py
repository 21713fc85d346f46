"""The description, for programs; and for people a page that shows it, from this gateway alone, under a strict
policy. Anybody may ask for both, so what is sent is made once."""

import gzip
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from fastapi import APIRouter, Request
from starlette.responses import Response

from pointledger.api.schemas.envelope import Problem

described = APIRouter(include_in_schema=False)
router = APIRouter(prefix="/docs", include_in_schema=False)

_SCRIPT, _STYLE = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
_ASSETS = {"swagger-ui-bundle.js": _SCRIPT, "swagger-ui.css": _STYLE, "start.js": _SCRIPT}
_PAGE_HEADERS = {
    # Nothing from elsewhere, nothing inline, no eval; pictures in the style sheet are `data:`. A person who
    # tries a request out enters a token here, so no other page may frame this one.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "max-age=3600",
}


class Document(NamedTuple):
    """Bytes, as they are and as gzip packs them."""

    plain: bytes
    packed: bytes


def document(plain: bytes) -> Document:
    """Packs once what is sent often."""
    return Document(plain, gzip.compress(plain, mtime=0))


@described.get("/openapi.json")
async def description(request: Request) -> Response:
    """The description."""
    return _sent(request, request.app.state.description, {"Content-Type": "application/json"})


@router.get("")
async def page(request: Request) -> Response:
    """The page."""
    return _sent(request, _file("index.html"), _PAGE_HEADERS | {"Content-Type": "text/html; charset=utf-8"})


@router.get("/{asset}")
async def asset(request: Request, asset: str) -> Response:
    """What the page loads."""
    if asset not in _ASSETS:
        raise Problem(404, "there is no such address")
    return _sent(request, _file(asset), _PAGE_HEADERS | {"Content-Type": _ASSETS[asset]})


def _sent(request: Request, content: Document, headers: dict[str, str]) -> Response:
    headers = headers | {"X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", "").lower():
        return Response(content.packed, headers=headers | {"Content-Encoding": "gzip"})
    return Response(content.plain, headers=headers)


@lru_cache(maxsize=len(_ASSETS) + 1)
def _file(name: str) -> Document:
    """A file of the viewer; the large ones lie packed."""
    folder = files("pointledger.api") / "viewer"
    if (lies_packed := folder / f"{name}.gz").is_file():
        packed = lies_packed.read_bytes()
        return Document(gzip.decompress(packed), packed)
    return document((folder / name).read_bytes())
