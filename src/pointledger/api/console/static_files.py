"""Serves scripts and styles. They are public, and packed once.

Their address has a hash of the content, so browsers keep them for a year and a new version gets another one.
"""

import gzip
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from pointledger.api.console.addresses import own

_SCRIPT, _STYLE = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
FILES = {
    "console.css": _STYLE,
    "console.js": _SCRIPT,
    "charts.js": _SCRIPT,
    "htmx.min.js": _SCRIPT,
    "uPlot.iife.min.js": _SCRIPT,
    "uPlot.min.css": _STYLE,
    "icon.svg": "image/svg+xml",
}
_YEAR = "public, max-age=31536000, immutable"


class StaticFile(NamedTuple):
    """A file's bytes, plain and packed by gzip, and the beginning of their hash."""

    plain: bytes
    packed: bytes
    version: str


@lru_cache(maxsize=len(FILES))
def file_of(name: str) -> StaticFile:
    """Read a file. The vendored ones are stored packed."""
    folder = files("pointledger.api.console") / "static"
    if (packed_file := folder / f"{name}.gz").is_file():
        packed = packed_file.read_bytes()
        plain = gzip.decompress(packed)
    else:
        plain = (folder / name).read_bytes()
        packed = gzip.compress(plain, mtime=0)
    return StaticFile(plain, packed, sha256(plain).hexdigest()[:12])


def address_of(name: str) -> str:
    """Return the address of a file, with its version."""
    return own(f"static/{name}", v=file_of(name).version)


async def respond(request: Request) -> Response | None:
    """Return the file of the path, or None if there is no such file."""
    name = request.path_params["name"]
    if name not in FILES:
        return None
    found = file_of(name)
    is_current = request.query_params.get("v") == found.version
    headers = {
        "Content-Type": FILES[name],
        "Cache-Control": _YEAR if is_current else "no-cache",
        "Vary": "Accept-Encoding",
    }
    if "gzip" in request.headers.get("accept-encoding", "").lower():
        return Response(found.packed, headers=headers | {"Content-Encoding": "gzip"})
    return Response(found.plain, headers=headers)
