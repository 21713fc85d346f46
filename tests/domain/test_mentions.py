"""A stored message names a person in any of the ways in which JSON, base64 and compression can write it."""

import bz2
import gzip
import json
import lzma
import zlib
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable

import pytest

from pointledger.domain.events.mentions import mentions

NAMES = [
    "anna",
    "auth0|5",
    "a/b",
    'say "hi"',
    "back\\slash",
    "\u00e4nne",
    "\U0001f600",
    "\\u0061",
    "100%",
    "a+b==",
]


def escaped(text: str) -> str:
    """Write each UTF-16 unit of a JSON text's strings as an escape, as a parser must accept."""
    units = text.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02X}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def event(name: str) -> str:
    return json.dumps({"tenantid": "shop", "data": {"to_user_id": name, "n": [1]}})


WAYS: dict[str, Callable[[str], bytes]] = {
    "plain": lambda name: json.dumps({"user_id": name}, ensure_ascii=False).encode(),
    "ASCII": lambda name: event(name).encode(),
    "escaped slashes": lambda name: event(name).replace("/", "\\/").encode(),
    "each character escaped": lambda name: f'{{"user_id": "{escaped(name)}"}}'.encode(),
    "a name of a field": lambda name: json.dumps({name: 1}).encode(),
    "JSON as text": lambda name: json.dumps({"data": event(name)}).encode(),
    "JSON as text, three times": lambda name: json.dumps(json.dumps(json.dumps(event(name)))).encode(),
    "JSON as text, escaped": lambda name: f'{{"data": "{escaped(event(name))}"}}'.encode(),
    "escapes within escaped text": lambda name: (
        json.dumps({"data": f'{{"to": "{escaped(name)}"}}'}).replace("\\\\", "\\u005c").encode()
    ),
    "base64": lambda name: json.dumps({"data_base64": b64encode(event(name).encode()).decode()}).encode(),
    "base64 for URLs, unpadded": lambda name: json.dumps(
        {"d": urlsafe_b64encode(f"?>?{event(name)}".encode()).decode().rstrip("=")}
    ).encode(),
    "base64, escaped": lambda name: (
        f'{{"data_base64": "{escaped(b64encode(event(name).encode()).decode())}"}}'.encode()
    ),
    "base64 in base64": lambda name: b64encode(
        json.dumps([b64encode(event(name).encode()).decode()]).encode()
    ),
    "gzip": lambda name: gzip.compress(event(name).encode()),
    "zlib": lambda name: zlib.compress(event(name).encode()),
    "bzip2": lambda name: bz2.compress(event(name).encode()),
    "xz": lambda name: lzma.compress(event(name).encode()),
    "lzma": lambda name: lzma.compress(event(name).encode(), lzma.FORMAT_ALONE),
    "gzip in base64": lambda name: b64encode(gzip.compress(event(name).encode())),
    "cut off": lambda name: f"{event(name)[:-1]}, \\".encode(),
    "invalid UTF-8": lambda name: b"\xff" + event(name).encode() + b"\xff",
    "UTF-16": lambda name: event(name).encode("utf-16"),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", WAYS)
def test_a_message_mentions_a_name_however_it_is_written(way: str, name: str) -> None:
    raw = WAYS[way](name)
    assert mentions(raw, name)
    assert not mentions(raw, f"{name}2")
    assert not mentions(raw, name[1:] or "other")


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x00\\ \xff", b"x\x9c", b"\x1f\x8b", b"BZh9", b"\xfd7zXZ", b"=", b"\\ud800", b"\xff\xfe\x00"],
)
def test_a_message_that_is_no_text_mentions_nobody(raw: bytes) -> None:
    assert not mentions(raw, "anna")
