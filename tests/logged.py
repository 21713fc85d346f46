"""What the library logs, as it comes to a program that listens."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pointledger.logs import LIBRARY


class _Keeping(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def records() -> Iterator[list[logging.LogRecord]]:
    """Grows with what is logged within the block, of whatever level."""
    ours = logging.getLogger(LIBRARY)
    level, keeping = ours.level, _Keeping()
    ours.addHandler(keeping)
    ours.setLevel(logging.DEBUG)
    try:
        yield keeping.records
    finally:
        ours.removeHandler(keeping)
        ours.setLevel(level)


@contextmanager
def kept_configuration() -> Iterator[None]:
    """Lets the block configure logging as a program does, and takes it back."""
    loggers = (logging.root, logging.getLogger(LIBRARY))
    before: list[tuple[Any, ...]] = [(one.handlers[:], one.level, one.propagate) for one in loggers]
    try:
        yield
    finally:
        for one, (handlers, level, propagate) in zip(loggers, before, strict=True):
            one.handlers[:], one.propagate = handlers, propagate
            one.setLevel(level)
