"""Writes logs to stderr, one structured event per line.

The library logs through `logging` under the name `pointledger`, and shows nothing unless the program
configures it. The project's own programs call `log_in_lines`: JSON lines, or colored text on a terminal. All
their lines are masked, also those of other libraries: secrets in the settings and passwords in any URL become
stars.
"""

import io
import logging
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from pointledger.logs import FIELDS, LIBRARY
from pointledger.settings import Settings

_STARS = "***"
_SHORTEST = 4  # masking a shorter secret would put stars everywhere
_IN_URL = re.compile(r"(?<=://)([^\s:/@]*):[^\s@]+@")
_PASSWORD_IN_QUERY = re.compile(r"(?i)(?:^|&)\w*password=([^&]+)")  # of a key file or of the Sentinels, too
_BEARER = re.compile(r"(?i)(bearer\s+)[\w.~+/=-]+")
_PRODUCERS_SECRET = re.compile(r'"secret"\s*:\s*"([^"]+)"')

Mask = Callable[[str], str]

# Without any handler, `logging` prints a library's warnings in a program that configured no logging.
logging.getLogger(LIBRARY).addHandler(logging.NullHandler())


def log_in_lines(settings: Settings, level: int = logging.INFO) -> None:
    """Configure logging for one of the project's programs, at its start. All lines go to stderr."""
    mask = masking(settings)
    other_libraries = logging.StreamHandler(sys.stderr)
    other_libraries.setFormatter(_MaskingFormatter(mask))
    logging.basicConfig(level=logging.WARNING, handlers=[other_libraries], force=True)
    logger = logging.getLogger(LIBRARY)
    logger.handlers[:] = [_LineHandler(mask)]
    logger.setLevel(level)
    logger.propagate = False


def survive_full_disks() -> None:
    """Make stdout and stderr drop what cannot be written, for a program that both are only a log of.

    Otherwise a print of another library, like Celery's banner, ends the process when the disk is full.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        raw = io.BufferedWriter(_LossyFile(stream.fileno(), "w", closefd=False))
        kept = io.TextIOWrapper(raw, stream.encoding, stream.errors, line_buffering=True)
        setattr(sys, name, kept)
        setattr(sys, f"__{name}__", kept)


class _LossyFile(io.FileIO):
    """A file that drops what cannot be written."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def masking(settings: Settings) -> Mask:
    """Return a function that replaces secrets in a text with stars."""
    known = sorted(_secrets(settings), key=len, reverse=True)
    exactly = re.compile("|".join(map(re.escape, known))) if known else None

    def mask(text: str) -> str:
        if exactly:
            text = exactly.sub(_STARS, text)
        return _BEARER.sub(rf"\1{_STARS}", _IN_URL.sub(rf"\1:{_STARS}@", text))

    return mask


class _LineHandler(logging.Handler):
    """Writes the library's events to stderr. If stderr is full or closed, it drops lines and work goes on."""

    def __init__(self, mask: Mask) -> None:
        import structlog  # noqa: PLC0415  only the project's programs need it, not the library's users

        super().__init__()
        self._mask = mask
        self._render: Any = structlog.processors.JSONRenderer()
        if sys.stderr.isatty():
            self._render = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)

    def emit(self, record: logging.LogRecord) -> None:
        line = self._mask(self._render(None, "", self._fields(record)))
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        fields = dict(getattr(record, FIELDS, None) or {"event": record.getMessage()})
        moment = datetime.fromtimestamp(record.created, UTC).isoformat()
        fields |= {"level": record.levelname.lower(), "timestamp": moment.replace("+00:00", "Z")}
        if record.exc_info:
            fields["exception"] = logging.Formatter().formatException(record.exc_info)
        return fields


class _MaskingFormatter(logging.Formatter):
    """Formats and masks other libraries' lines, with their tracebacks."""

    def __init__(self, mask: Mask) -> None:
        super().__init__("%(levelname)s %(name)s %(message)s")
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        return self._mask(super().format(record))


def _secrets(settings: Settings) -> set[str]:
    named = ("database_url", "owner_url", "redis_url", "broker_url", "events_url", "result_url")
    urls = [getattr(settings, name) for name in named]
    found = {password for url in urls if url for password in _passwords(url)}
    if settings.erasure_key:
        found.add(settings.erasure_key.get_secret_value())
    if settings.ingest_keys:
        found.update(_PRODUCERS_SECRET.findall(settings.ingest_keys.get_secret_value()))
    return {secret for secret in found if len(secret) >= _SHORTEST}


def _passwords(url: str) -> set[str]:
    """Return the URL's passwords, both percent-encoded and decoded."""
    try:
        parts = urlsplit(url)
        found = {parts.password, *_PASSWORD_IN_QUERY.findall(parts.query)}
    except ValueError:
        return set()
    encoded = {password for password in found if password}
    return encoded | {unquote(password) for password in encoded}
