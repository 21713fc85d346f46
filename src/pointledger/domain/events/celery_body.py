"""Reads the body of a Celery message: decompression, and strict JSON."""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any

from pointledger.domain.events.celery_rejections import Rejected, TaskReject, quoted, unreadable
from pointledger.domain.values.json_values import read_json

MAX_BYTES = 256 * 1024  # of a body: an opening balance of a thousand lots needs half of it
_LZMA_BYTES = 64 * 1024 * 1024  # of memory for decompression: slightly more than `xz -6` needs

JSON = "application/json"


def document_of(body: bytes, compression: Any, content_type: str | None, content_encoding: str | None) -> Any:
    """Decompress and parse a body. Raises Rejected."""
    return _document(_decompressed(body, compression), content_type, content_encoding)


def _decompressed(body: bytes, compression: Any) -> bytes:
    """Decompress a body, up to `MAX_BYTES`. Raises Rejected."""
    if len(body) > MAX_BYTES:
        raise _too_large(f"{len(body)} bytes")
    if compression in (None, ""):
        return body
    new_decompressor = _DECOMPRESSORS.get(str(compression))
    if new_decompressor is None:
        known = "zlib (gzip), bzip2 and lzma"
        raise Rejected(
            TaskReject.UNSUPPORTED, f"compression: {known} are understood, not {quoted(compression)}"
        )
    try:
        decompressor = new_decompressor()
        plain: bytes = decompressor.decompress(body, MAX_BYTES)
    except (zlib.error, OSError, ValueError, EOFError, lzma.LZMAError):
        raise unreadable(f"body: is not {quoted(compression)}") from None
    if not decompressor.eof:
        raise _too_large("more when decompressed")
    return plain


def _too_large(size: str) -> Rejected:
    return Rejected(TaskReject.TOO_LARGE, f"body: {size}; a message has {MAX_BYTES} bytes at most")


# Keys are the names that kombu writes.
_DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    # kombu's "gzip" is the zlib format: accept both.
    "application/x-gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 32),
    "application/x-bz2": bz2.BZ2Decompressor,
    "application/x-lzma": lambda: lzma.LZMADecompressor(memlimit=_LZMA_BYTES),
}


def _document(body: bytes, content_type: str | None, content_encoding: str | None) -> Any:
    kind = (content_type or JSON).partition(";")[0].strip().lower()
    if kind != JSON:
        raise Rejected(TaskReject.NOT_JSON, f"content type: {quoted(kind)}; send JSON: serializer='json'")
    if (content_encoding or "utf-8").lower() not in ("utf-8", "utf8", "us-ascii", "binary"):
        raise Rejected(TaskReject.NOT_JSON, f"content encoding: {quoted(content_encoding)}; send UTF-8")
    try:
        return _untyped(read_json(body))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError, JSONDecodeError
        detail = str(error) if type(error) is ValueError else type(error).__name__
        raise unreadable(f"body: not strict JSON: {detail}") from None


_TYPED = {"__type__", "__value__"}
_AS_TEXT = ("datetime", "date", "time", "decimal", "bytes")


def _untyped(value: Any) -> Any:
    """Replace the typed values with which kombu extends JSON. The fields of commands accept them as text."""
    if isinstance(value, list):
        return [_untyped(part) for part in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == _TYPED:
        kind, inner = value["__type__"], value["__value__"]
        if kind in _AS_TEXT and isinstance(inner, str):
            return inner
        if kind == "uuid" and isinstance(inner, dict) and isinstance(inner.get("hex"), str):
            return _dashed(inner["hex"])
    return {name: _untyped(part) for name, part in value.items()}


def _dashed(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
