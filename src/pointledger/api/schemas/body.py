"""Bodies: strict JSON, once, at the door. What is let in is one object with the fields that the route has."""

import asyncio
import codecs
from collections.abc import Collection
from typing import Any

from starlette.requests import ClientDisconnect, Request

from pointledger.api.schemas.envelope import Problem
from pointledger.domain.values.json_values import read_json

MOST_BYTES = 64 * 1024  # the longest command is metadata of 16 KiB, a batch some thousand rows
_MOST_SECONDS = 10  # whoever sends more slowly is not sending

_JSON_TYPES = ("application/json", "application/json;charset=utf-8")


async def read_object(
    request: Request, fields: Collection[str] | None = None, *, decimals: bool = False
) -> dict[str, Any]:
    """The body's object. `fields`: what it may have, unless somebody else looks; `decimals`: numbers with a
    point become Decimal. Raises Problem 400, 408, 413, 415."""
    _check_headers(request)
    try:
        content = (await _read(request)).removeprefix(codecs.BOM_UTF8)  # some writers of .NET begin so
        found = read_json(content, decimals=decimals)
    except ValueError:  # its message may show what came
        raise Problem(
            400, "body: must be JSON in UTF-8, each name once, no NaN, no number beyond measure"
        ) from None
    if not isinstance(found, dict):
        raise Problem(400, "body: must be a JSON object")
    if fields is not None and not found.keys() <= set(fields):
        raise Problem(400, f"body: has fields other than {', '.join(sorted(fields))}")
    return found


def _check_headers(request: Request) -> None:
    given = request.headers.getlist("content-type")
    kind = given[0].replace(" ", "").replace('"', "").lower() if len(given) == 1 else ""
    if kind not in _JSON_TYPES:
        raise Problem(415, "Content-Type: must be application/json in UTF-8")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "Content-Encoding: bodies are not compressed")
    length = request.headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise Problem(400, "Content-Length: must be a number")
    if int(length[:20]) > MOST_BYTES:
        raise _too_large()


async def _read(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(_MOST_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise _too_large()
    except TimeoutError:
        raise Problem(408, "the body did not come in time", headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise Problem(400, "the body did not come to its end") from None
    return bytes(body)


def _too_large() -> Problem:
    # The rest is not read, so nothing more can come through this connection.
    return Problem(413, f"body: at most {MOST_BYTES} bytes", headers={"Connection": "close"})
