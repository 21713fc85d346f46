"""A worker refuses compressed messages before it unpacks them."""

import bz2
import lzma
import zlib

import pytest
from kombu import compression
from kombu.message import Message

from workers.compressed import refuse_compressed_messages

_BOMB = b" " * (64 << 20)


@pytest.mark.parametrize(
    ("name", "body"),
    [("zlib", zlib.compress(_BOMB)), ("bzip2", bz2.compress(_BOMB)), ("lzma", lzma.compress(_BOMB))],
    ids=["zlib", "bzip2", "lzma"],
)
def test_a_compressed_message_is_refused_unpacked(
    name: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "_encoders", dict(compression._encoders))
    monkeypatch.setattr(compression, "_decoders", dict(compression._decoders))
    assert len(compression.decompress(body, name)) == len(_BOMB), "kombu would unpack it"

    refuse_compressed_messages()

    message = Message(body, headers={"compression": name}, content_type="application/json")
    assert message.body == body
    assert "compressed messages are refused" in str(message.errors)
