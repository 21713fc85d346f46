"""Reads files or stdin (`-`), and the JSON in them, within limits."""

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

from pointledger.domain.values.actor import CLI_PREFIX, Actor, check_actor
from pointledger.domain.values.fields import EntityId, Moment
from pointledger.domain.values.json_values import read_json
from pointledger.errors import LedgerError

MAX_LINE_BYTES = 1 << 20  # ten times 16 KiB of metadata with each character as \\u0000
_MAX_DOCUMENT_BYTES = 16 << 20  # about ten thousand rules
_MAX_REASON = 500  # characters
_GZIP_MAGIC = b"\x1f\x8b"  # JSON never begins with these bytes


class InputUnreadable(LedgerError, ValueError):
    """The file cannot be read. Give the path of a readable file, or - for stdin."""


class Lines:
    """The lines of a file, plain or gzip. A line that is too long is cut just above the limit."""

    def __init__(self, packed: io.BufferedReader, bytes_total: int | None) -> None:
        self._packed = packed
        self.bytes_total = bytes_total  # of the stored file; None for stdin
        is_gzip = packed.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC)
        self._stream: Any = gzip.GzipFile(fileobj=packed) if is_gzip else packed

    @property
    def bytes_read(self) -> int:
        """Return the bytes read of the stored file, to compare with `bytes_total`."""
        return self._packed.tell() if self.bytes_total is not None else 0

    def __iter__(self) -> Iterator[bytes]:
        limit = MAX_LINE_BYTES + 2  # one more than allowed, and the line's end
        while line := self._stream.readline(limit):
            yield line
            while line and not line.endswith(b"\n"):
                line = self._stream.readline(limit)


@contextmanager
def opened_lines(name: str) -> Iterator[Lines]:
    """Open JSON lines from a file, plain or gzip, or from `-`. Raises InputUnreadable."""
    with _opened(name) as stream:
        try:
            lines = Lines(stream, None if name == "-" else Path(name).stat().st_size)
        except OSError as error:
            raise InputUnreadable(f"{name}: {error.strerror}") from None
        yield lines


def read_document(name: str, *, decimals: bool = False) -> Any:
    """Read the JSON of a file or of `-`. Raises InputUnreadable, and ValueError if it is not JSON."""
    with _opened(name) as stream:
        try:
            content = stream.read(_MAX_DOCUMENT_BYTES + 1)
        except OSError as error:
            raise InputUnreadable(f"{name}: {error.strerror}") from None
    if len(content) > _MAX_DOCUMENT_BYTES:
        raise InputUnreadable(f"{name}: larger than {_MAX_DOCUMENT_BYTES} bytes")
    return parse(content, decimals=decimals)


def read_valid(name: str, invalid: type[LedgerError], *, decimals: bool = False) -> Any:
    """Read the JSON of a file or of `-`. Raises InputUnreadable, and `invalid` if it is not JSON."""
    try:
        return read_document(name, decimals=decimals)
    except InputUnreadable:
        raise
    except ValueError as error:
        raise invalid(f"{name}: {error}") from None


def parse(text: bytes | str, *, decimals: bool = False) -> Any:
    """Parse strict JSON in UTF-8. Raises ValueError with a message for people."""
    try:
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        return read_json(text, decimals=decimals)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error.reason} at byte {error.start + 1}") from None
    except JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except ArithmeticError:  # a Decimal's exponent has bounds
        raise ValueError("a number is out of range") from None


ReasonOption = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="The reason, for the audit log.")
]


def actor(reason: str | None) -> Actor:
    """Return the actor: the operating system's user name, and the reason."""
    name = re.sub(r"[^A-Za-z0-9_.:@-]", "_", getpass.getuser())
    return Actor(f"{CLI_PREFIX}{name}"[:64], reason[:_MAX_REASON].replace("\x00", "") if reason else None)


def entity_id(text: str) -> str:
    """Validate a tenant's or user's id. Raises BadParameter."""
    return str(_checked(EntityId, text))


def sender_id(text: str) -> str:
    """Validate the id of a sender of commands. Raises BadParameter."""
    try:
        check_actor(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return entity_id(text)


def moment(text: str) -> datetime:
    """Parse a time with its UTC offset. Raises BadParameter."""
    found = _checked(Moment, text)
    assert isinstance(found, datetime), "a Moment is a datetime"
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
            piped.detach()  # stdin stays open
        return
    try:
        stream = Path(name).open("rb")  # noqa: SIM115  closed below
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputUnreadable(f"{name}: {getattr(error, 'strerror', None) or error}") from None
    with stream:
        yield stream
