"""Logs: one structured event per line.

The library logs as a guest: through `logging`, under the name `pointledger`, and nothing is shown unless the
program configures it. Our own programs call `log_in_lines`: JSON lines, or colors on a terminal. No line of
theirs, ours or a library's, tells a secret: what the settings hold as one, and passwords in anybody's URLs,
are starred out.
"""

import logging
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from pointledger.logs import _TOLD, LIBRARY
from pointledger.settings import Settings

_STARS = "***"


_SHORTEST = 4  # a shorter secret is no secret, and its stars would be everywhere


_IN_URL = re.compile(r"(?<=://)([^\s:/@]*):[^\s@]+@")


_BEARER = re.compile(r"(?i)(bearer\s+)[\w.~+/=-]+")


_PRODUCERS_SECRET = re.compile(r'"secret"\s*:\s*"([^"]+)"')


Masked = Callable[[str], str]


# Where a program configures nothing, `logging` itself prints the warnings of loggers that have no handler.
logging.getLogger(LIBRARY).addHandler(logging.NullHandler())


def log_in_lines(settings: Settings, level: int = logging.INFO) -> None:
    """Configures logging for one of our own programs, at its start: everything goes to stderr."""
    masked = masking(settings)
    libraries = logging.StreamHandler(sys.stderr)
    libraries.setFormatter(_Masking(masked))
    logging.basicConfig(level=logging.WARNING, handlers=[libraries], force=True)
    ours = logging.getLogger(LIBRARY)
    ours.handlers[:] = [_Lines(masked)]
    ours.setLevel(level)
    ours.propagate = False


def masking(settings: Settings) -> Masked:
    """Takes secrets out of text."""
    known = sorted(_secrets(settings), key=len, reverse=True)
    exactly = re.compile("|".join(map(re.escape, known))) if known else None

    def masked(text: str) -> str:
        if exactly:
            text = exactly.sub(_STARS, text)
        return _BEARER.sub(rf"\1{_STARS}", _IN_URL.sub(rf"\1:{_STARS}@", text))

    return masked


class _Lines(logging.Handler):
    """Writes our events to stderr. A log that is full, or gone, loses lines and stops no work."""

    def __init__(self, masked: Masked) -> None:
        import structlog  # noqa: PLC0415  for our programs alone: importing it is not the library's business

        super().__init__()
        self._masked = masked
        self._shown: Any = structlog.processors.JSONRenderer()
        if sys.stderr.isatty():
            self._shown = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)

    def emit(self, record: logging.LogRecord) -> None:
        line = self._masked(self._shown(None, "", self._told(record)))
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    def _told(self, record: logging.LogRecord) -> dict[str, Any]:
        told = dict(getattr(record, _TOLD, None) or {"event": record.getMessage()})
        moment = datetime.fromtimestamp(record.created, UTC).isoformat()
        told |= {"level": record.levelname.lower(), "timestamp": moment.replace("+00:00", "Z")}
        if record.exc_info:
            told["exception"] = logging.Formatter().formatException(record.exc_info)
        return told


class _Masking(logging.Formatter):
    """Of libraries' lines, with their tracebacks."""

    def __init__(self, masked: Masked) -> None:
        super().__init__("%(levelname)s %(name)s %(message)s")
        self._masked = masked

    def format(self, record: logging.LogRecord) -> str:
        return self._masked(super().format(record))


def _secrets(settings: Settings) -> set[str]:
    named = ("database_url", "owner_url", "redis_url", "broker_url", "events_url", "result_url")
    urls = [getattr(settings, name) for name in named]
    found = {password for url in urls if url for password in _passwords(url)}
    if settings.erasure_key:
        found.add(settings.erasure_key.get_secret_value())
    if settings.intake_keys:
        found.update(_PRODUCERS_SECRET.findall(settings.intake_keys.get_secret_value()))
    return {secret for secret in found if len(secret) >= _SHORTEST}


def _passwords(url: str) -> set[str]:
    """As it stands in the URL, and as it is."""
    try:
        password = urlsplit(url).password
    except ValueError:
        return set()
    return {password, unquote(password)} if password else set()
