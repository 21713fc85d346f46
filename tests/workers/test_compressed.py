"""A worker refuses compressed messages before it unpacks them."""

import bz2
import lzma
import zlib
from collections.abc import Callable

import pytest
from kombu import compression
from kombu.message import Message

from workers.compressed import refuse_compressed_messages

_UNPACKED = 64 << 20  # bytes; of a few kilobytes


@pytest.mark.parametrize(
    ("name", "compress"),
    [("zlib", zlib.compress), ("bzip2", bz2.compress), ("lzma", lzma.compress)],
    ids=["zlib", "bzip2", "lzma"],
)
def test_a_compressed_message_is_refused_unpacked(
    name: str, compress: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = compress(b" " * _UNPACKED)
    monkeypatch.setattr(compression, "_encoders", dict(compression._encoders))
    monkeypatch.setattr(compression, "_decoders", dict(compression._decoders))
    assert len(compression.decompress(body, name)) == _UNPACKED, "kombu would unpack it"

    refuse_compressed_messages()

    message = Message(body, headers={"compression": name}, content_type="application/json")
    assert message.body == body
    assert "compressed messages are refused" in str(message.errors)
