"""Programs log one JSON object per line. A full log does not stop their work."""

import ast
import errno
import io
import json
import logging
import sys
from datetime import UTC, datetime

import pytest

from pointledger.logs import Log
from pointledger.observability.log_lines import log_in_lines
from pointledger.settings import Settings
from tests.faults.conftest import ROOT
from tests.logged import kept_configuration


class Full(io.StringIO):
    """A file on a full disk."""

    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_log_drops_lines_and_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Full())
    with kept_configuration():
        log_in_lines(Settings.model_construct())
        Log("pointledger.tests").info("applied", commands=1)


def test_a_line_is_one_json_object_with_the_fields_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    with kept_configuration():
        log_in_lines(Settings.model_construct())
        log = Log("pointledger.tests")
        log.info("drained", action="drain", lane=3, commands=2)
        try:
            raise ValueError("wrong")
        except ValueError as error:
            log.error("bug", action="http", exc_info=error)
        logging.getLogger("pointledger.tests").critical("Couldn't ack %r", 7)
        logging.getLogger("a.library").info("chatter")
    drained, bug, plain = (json.loads(line) for line in written.getvalue().splitlines())
    assert list(drained.items())[:5] == [
        ("action", "drain"),
        ("lane", 3),
        ("commands", 2),
        ("event", "drained"),
        ("level", "info"),
    ]
    assert datetime.fromisoformat(drained["timestamp"]).tzinfo == UTC
    assert (bug["event"], bug["level"]) == ("bug", "error")
    assert bug["exception"].splitlines()[0] == "Traceback (most recent call last):"
    assert bug["exception"].endswith("ValueError: wrong")
    assert (plain["event"], plain["level"]) == ("Couldn't ack 7", "critical")


def test_no_field_has_the_name_of_a_log_record_attribute() -> None:
    """`logging` would raise when such a line is written, perhaps years later."""
    taken = {*vars(logging.makeLogRecord({})), "message", "asctime"} - {
        "exc_info"
    }  # `Log` treats it as no field
    calls = [
        node
        for folder in ("src", "workers")
        for file in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("_log.")
    ]
    assert len(calls) > 15
    assert [ast.unparse(call) for call in calls for field in call.keywords if field.arg in taken] == []
