"""Reads request bodies: strict JSON, one object, only the fields that the route takes."""

import asyncio
import codecs
from collections.abc import Collection
from typing import Any

from starlette.requests import ClientDisconnect, Request

from pointledger.api.schemas.envelope import Problem
from pointledger.domain.values.json_values import read_json

MOST_BYTES = 64 * 1024  # the largest command has 16 KiB of metadata; a batch of about a thousand rows fits
_READ_SECONDS = 10  # 64 KiB take that long only on a stalled connection

_JSON_TYPES = ("application/json", "application/json;charset=utf-8")


async def read_object(
    request: Request, fields: Collection[str] | None = None, *, decimals: bool = False
) -> dict[str, Any]:
    """Read the body's object. Raises Problem 400, 408, 413, 415.

    `guard` has received the body before.

    `fields` are the allowed fields; None if the caller checks them. With `decimals`, numbers with a decimal
    point become Decimal.
    """
    try:
        content = (await receive(request)).removeprefix(codecs.BOM_UTF8)  # .NET writes a byte order mark
        found = read_json(content, decimals=decimals)
    except ValueError:  # its message may contain parts of the body
        raise Problem(
            400, "body: must be JSON in UTF-8 with unique names, without NaN or huge numbers"
        ) from None
    if not isinstance(found, dict):
        raise Problem(400, "body: must be a JSON object")
    if fields is not None and not found.keys() <= set(fields):
        raise Problem(400, f"body: may only have the fields {', '.join(sorted(fields))}")
    return found


async def receive(request: Request) -> bytes:
    """Receive the body, once. Raises Problem 400, 408, 413, 415, the last two before a byte of it is read."""
    content: bytes | None = getattr(request.state, "content", None)
    if content is None:
        _check_headers(request)
        content = request.state.content = await _read(request)
    return content


def _check_headers(request: Request) -> None:
    given = request.headers.getlist("content-type")
    kind = given[0].replace(" ", "").replace('"', "").lower() if len(given) == 1 else ""
    if kind not in _JSON_TYPES:
        raise Problem(415, "Content-Type: must be application/json in UTF-8")
    for name, plain in (("content-encoding", "identity"), ("transfer-encoding", "chunked")):
        if any(value.strip().lower() != plain for value in request.headers.getlist(name)):
            raise Problem(
                415,
                f"{name.title()}: compressed bodies are not supported; send it as it is",
                headers={"Connection": "close"},  # the body is not read
            )
    length = request.headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise Problem(400, "Content-Length: must be a number")
    if int(length[:20]) > MOST_BYTES:
        raise _too_large()


async def _read(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(_READ_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise _too_large()
    except TimeoutError:
        raise Problem(408, "the body did not arrive in time", headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise Problem(400, "the connection was closed before the end of the body") from None
    return bytes(body)


def _too_large() -> Problem:
    # The rest of the body is not read, so the connection cannot be reused.
    return Problem(413, f"body: at most {MOST_BYTES} bytes", headers={"Connection": "close"})
