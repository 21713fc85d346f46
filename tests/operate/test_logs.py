"""A log that takes nothing more stops no work."""

import logging
import sys
from pathlib import Path

import pytest
import structlog

from pointledger.logs import log_in_lines
from pointledger.settings import Settings

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has it")
def test_a_full_log_loses_lines_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    before = structlog.get_config()
    handlers, level = logging.root.handlers[:], logging.root.level
    full = FULL.open("w")
    monkeypatch.setattr(sys, "stderr", full)
    try:
        with pytest.raises(OSError, match="No space"):
            print("a line", file=sys.stderr, flush=True)
        log_in_lines(Settings.model_construct())
        structlog.get_logger().info("applied", commands=1)
    finally:
        structlog.configure(**before)
        logging.root.handlers[:], logging.root.level = handlers, level
        full.detach()  # what it still holds cannot be written
