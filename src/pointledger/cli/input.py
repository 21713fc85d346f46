"""Files, `-` for what is piped in, and the JSON in them. Everything is read within a limit."""

import getpass
import gzip
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from json import JSONDecodeError
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from pointledger.domain.values.actor import By
from pointledger.domain.values.fields import EntityId, Moment
from pointledger.domain.values.json_values import read_json
from pointledger.errors import LedgerError

MAX_LINE_BYTES = 1 << 20  # 16 KiB of metadata, each letter as \\u0000, fits ten times
_MAX_DOCUMENT_BYTES = 16 << 20  # some ten thousand rules
_MOST_OF_A_REASON = 500  # characters
_GZIP_MAGIC = b"\x1f\x8b"  # no line of JSON begins so


class InputUnreadable(LedgerError, ValueError):
    """The file cannot be read. Give the path of a readable file, or - for what is piped in."""


class Lines:
    """The lines of a file, unpacked if need be. One that is too long comes cut, just above the limit."""

    def __init__(self, packed: io.BufferedReader, bytes_total: int | None) -> None:
        self._packed = packed
        self.bytes_total = bytes_total  # of the file as it lies there; None where nobody knows
        is_gzip = packed.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC)
        self._stream: Any = gzip.GzipFile(fileobj=packed) if is_gzip else packed

    @property
    def bytes_read(self) -> int:
        """Of the file as it lies there, to compare with `bytes_total`."""
        return self._packed.tell() if self.bytes_total is not None else 0

    def __iter__(self) -> Iterator[bytes]:
        most = MAX_LINE_BYTES + 2  # one more than allowed, and the line's end
        while line := self._stream.readline(most):
            yield line
            while line and not line.endswith(b"\n"):
                line = self._stream.readline(most)


@contextmanager
def opened_lines(name: str) -> Iterator[Lines]:
    """Lines of JSON from a file, plain or gzip, or from `-`. Raises InputUnreadable."""
    with _opened(name) as stream:
        try:
            lines = Lines(stream, None if name == "-" else Path(name).stat().st_size)
        except OSError as error:
            raise InputUnreadable(f"{name}: {error.strerror}") from None
        yield lines


def read_document(name: str, *, decimals: bool = False) -> Any:
    """The JSON of a file or of `-`. Raises InputUnreadable, and ValueError for what is no JSON."""
    with _opened(name) as stream:
        try:
            content = stream.read(_MAX_DOCUMENT_BYTES + 1)
        except OSError as error:
            raise InputUnreadable(f"{name}: {error.strerror}") from None
    if len(content) > _MAX_DOCUMENT_BYTES:
        raise InputUnreadable(f"{name}: larger than {_MAX_DOCUMENT_BYTES} bytes")
    return parse(content, decimals=decimals)


def parse(text: bytes | str, *, decimals: bool = False) -> Any:
    """Strict JSON in UTF-8. Raises ValueError with a message for people."""
    try:
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        return read_json(text, decimals=decimals)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error.reason} at byte {error.start + 1}") from None
    except JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except ArithmeticError:  # a Decimal's exponent has bounds, too
        raise ValueError("a number is out of range") from None


Why = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why; it is kept with the act (`acts`).")
]


def by(reason: str | None) -> By:
    """Who does it, by the name of the machine's user, and why."""
    name = re.sub(r"[^A-Za-z0-9_.:@-]", "_", getpass.getuser())
    return By(f"cli:{name}"[:64], reason[:_MOST_OF_A_REASON].replace("\x00", "") if reason else None)


def entity_id(text: str) -> str:
    """A tenant's or a user's id from the command line. Raises BadParameter."""
    return str(_checked(EntityId, text))


def moment(text: str) -> datetime:
    """An instant with its offset from the command line. Raises BadParameter."""
    found = _checked(Moment, text)
    assert isinstance(found, datetime), "that is what a moment is"
    return found


def _checked(kind: Any, text: str) -> object:
    try:
        return TypeAdapter(kind).validate_python(text)
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


@contextmanager
def _opened(name: str) -> Iterator[io.BufferedReader]:
    if name == "-":
        piped: Any = io.BufferedReader(sys.stdin.buffer)
        try:
            yield piped
        finally:
            piped.detach()  # it is not ours to close
        return
    try:
        stream = Path(name).open("rb")  # noqa: SIM115  closed below
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputUnreadable(f"{name}: {getattr(error, 'strerror', None) or error}") from None
    with stream:
        yield stream
