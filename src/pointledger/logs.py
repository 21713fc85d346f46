"""Logs: one structured line per event, for people on a terminal and JSON everywhere else. No line, ours or a
library's, tells a secret: what the settings hold as one, and passwords in anybody's URLs, are starred out."""

import logging
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog

from pointledger.settings import Settings

_STARS = "***"
_SHORTEST = 4  # a shorter secret is no secret, and its stars would be everywhere
_IN_URL = re.compile(r"(?<=://)([^\s:/@]*):[^\s@]+@")
_BEARER = re.compile(r"(?i)(bearer\s+)[\w.~+/=-]+")
_PRODUCERS_SECRET = re.compile(r'"secret"\s*:\s*"([^"]+)"')

Masked = Callable[[str], str]


def log_in_lines(settings: Settings, level: int = logging.INFO) -> None:
    """For programs, at their start: libraries' warnings and our own lines go to stderr."""
    masked = masking(settings)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Masking(masked))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    shown: Any = structlog.processors.JSONRenderer()
    if sys.stderr.isatty():
        shown = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            shown,
            lambda _logger, _name, line: masked(str(line)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Lines(),
    )


def masking(settings: Settings) -> Masked:
    """Takes secrets out of text."""
    known = sorted(_secrets(settings), key=len, reverse=True)
    exactly = re.compile("|".join(map(re.escape, known))) if known else None

    def masked(text: str) -> str:
        if exactly:
            text = exactly.sub(_STARS, text)
        return _BEARER.sub(rf"\1{_STARS}", _IN_URL.sub(rf"\1:{_STARS}@", text))

    return masked


class _Lines:
    """Writes lines to stderr. A log that is full, or gone, loses lines and stops no work."""

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    debug = info = warning = warn = error = critical = exception = fatal = log = msg


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
