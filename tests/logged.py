"""Collects the library's log records."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pointledger.logs import LIBRARY


class _RecordHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def records() -> Iterator[list[logging.LogRecord]]:
    """Yield a list that grows with the records of the block, of any level."""
    logger = logging.getLogger(LIBRARY)
    level, handler = logger.level, _RecordHandler()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield handler.records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def kept_configuration() -> Iterator[None]:
    """Restore the configuration of logging after the block."""
    loggers = (logging.root, logging.getLogger(LIBRARY))
    before: list[tuple[Any, ...]] = [(one.handlers[:], one.level, one.propagate) for one in loggers]
    try:
        yield
    finally:
        for one, (handlers, level, propagate) in zip(loggers, before, strict=True):
            one.handlers[:], one.propagate = handlers, propagate
            one.setLevel(level)
