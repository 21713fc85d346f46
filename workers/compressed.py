"""Refuses compressed messages."""

from kombu import compression

# Those that kombu knows if their libraries are there.
_COMPRESSIONS = (
    "application/x-gzip",
    "application/x-bz2",
    "application/x-lzma",
    "application/x-brotli",
    "application/zstd",
)


def refuse_compressed_messages() -> None:
    """Make kombu refuse compressed messages before it unpacks them: a megabyte can become a gigabyte.

    The ledger compresses no message. Only a worker calls this, because it is for the whole process.
    """
    for name in {*compression.encoders(), *_COMPRESSIONS}:
        compression.register(_refuse, _refuse, name)


def _refuse(_body: bytes) -> bytes:
    raise ValueError("compressed messages are refused")
