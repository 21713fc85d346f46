"""Finds a person in a stored message: whether it has a JSON string with the person's id, however written.

JSON can escape any character (`\\u0061`), hold JSON as text, and hold it as base64. A message may also be
compressed, cut off, in another encoding, or no JSON at all. So this module does not parse: it undoes the
escapes step by step and looks for the id in quotes after each step. It may find too much, but it must not
miss the person.
"""

import bz2
import json
import lzma
import re
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

_LEVELS = 8  # of JSON as text in JSON; each doubles the backslashes, so 64 KiB cannot hold many more
_ENCODINGS = 4  # of base64 or compression, one in the other
_UNPACKED_BYTES = 1 << 20  # four times the largest message that is kept
_LZMA_BYTES = 64 << 20  # of memory, as the reader of messages allows

_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|([^u]))", re.DOTALL)
_SHORT_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{4,}={0,2}")
_UNPACKERS: tuple[tuple[bytes, Callable[[], Any]], ...] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(zlib.MAX_WBITS | 32)),
    (b"x", lambda: zlib.decompressobj(zlib.MAX_WBITS)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ", lambda: lzma.LZMADecompressor(memlimit=_LZMA_BYTES)),
    (b"\x5d\x00\x00", lambda: lzma.LZMADecompressor(memlimit=_LZMA_BYTES)),
)


def mentions(raw: bytes, name: str) -> bool:
    """Return whether a string of the message is exactly this name."""
    quoted = f'"{name}"'
    return any(quoted in text for text in _texts(raw, _ENCODINGS))


def _texts(raw: bytes, encodings_left: int) -> Iterator[str]:
    """Yield the message as text, then with the escapes of each level undone, then what is encoded in it."""
    text = raw.decode(json.detect_encoding(raw), errors="replace")
    for _ in range(_LEVELS):
        yield text
        if encodings_left:
            for encoded in _BASE64.findall(text):
                yield from _texts(_decoded(encoded), encodings_left - 1)
        if (plain := _unescaped(text)) == text:
            break
        text = plain
    if encodings_left and (unpacked := _unpacked(raw)):
        yield from _texts(unpacked, encodings_left - 1)


def _decoded(encoded: str) -> bytes:
    """Decode base64 of either alphabet, with or without padding, as far as it goes."""
    bare = encoded.rstrip("=").replace("-", "+").replace("_", "/")
    bare = bare[: len(bare) - (len(bare) % 4 == 1)]
    return b64decode(bare + "=" * (-len(bare) % 4))


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    units = _ESCAPE.sub(_character, text)  # an escape is half of a pair where a character needs two
    return units.encode("utf-16", "surrogatepass").decode("utf-16", errors="replace")


def _character(escape: re.Match[str]) -> str:
    digits, letter = escape.groups()
    return chr(int(digits, 16)) if digits else _SHORT_ESCAPES.get(letter, letter)


def _unpacked(raw: bytes) -> bytes:
    for magic, new_decompressor in _UNPACKERS:
        if raw.startswith(magic):
            with suppress(zlib.error, OSError, ValueError, EOFError, lzma.LZMAError):
                content: bytes = new_decompressor().decompress(raw, _UNPACKED_BYTES)
                return content
    return b""
