"""A log that takes nothing more stops no work."""

import errno
import io
import logging
import sys

import pytest
import structlog

from pointledger.logs import log_in_lines
from pointledger.settings import Settings


class Full(io.StringIO):
    """A file on a disk without room."""

    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_log_loses_lines_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    before = structlog.get_config()
    handlers, level = logging.root.handlers[:], logging.root.level
    monkeypatch.setattr(sys, "stderr", Full())
    try:
        log_in_lines(Settings.model_construct())
        structlog.get_logger().info("applied", commands=1)
    finally:
        structlog.configure(**before)
        logging.root.handlers[:], logging.root.level = handlers, level
