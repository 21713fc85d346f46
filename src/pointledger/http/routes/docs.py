"""The description for people: a page and its assets, from this gateway alone, under a strict policy."""

import gzip
from functools import lru_cache
from importlib.resources import files

from fastapi import APIRouter, Request
from starlette.responses import Response

from pointledger.http.envelope import Problem

router = APIRouter(prefix="/docs", include_in_schema=False)

_PAGE = "index.html"
_KINDS = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
}
_HEADERS = {
    # Nothing from elsewhere, nothing inline, no eval; pictures in the style sheet are `data:`. A person who
    # tries a request out enters a token here, so no other page may frame this one.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "max-age=3600",
}


@router.get("")
async def page() -> Response:
    """The page."""
    return Response(_content(_PAGE), headers=_HEADERS, media_type="text/html")


@router.get("/{asset}")
async def asset(request: Request, asset: str) -> Response:
    """What the page loads."""
    if asset not in _KINDS:
        raise Problem(404, "there is no such address")
    headers = _HEADERS | {"Content-Type": _KINDS[asset], "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", "").lower():
        return Response(_packed(asset), headers=headers | {"Content-Encoding": "gzip"})
    return Response(gzip.decompress(_packed(asset)), headers=headers)


@lru_cache(maxsize=len(_KINDS) + 1)
def _content(name: str) -> bytes:
    return (files("pointledger.http") / "viewer" / name).read_bytes()


@lru_cache(maxsize=len(_KINDS))
def _packed(name: str) -> bytes:
    """The large ones lie packed."""
    lies_packed = name.startswith("swagger-ui")
    return _content(f"{name}.gz") if lies_packed else gzip.compress(_content(name), mtime=0)
