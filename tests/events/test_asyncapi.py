"""The AsyncAPI document says what the ledger reads. `test_described.py` compares it with what it sends."""

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from pointledger.domain.events.ingested import InvalidEvent, RejectReason, commands_of
from pointledger.domain.events.outgoing import EVENT_TYPES
from pointledger.events.broker import CONTENT_TYPE
from pointledger.events.reader import SIGNATURE_HEADERS
from pointledger.settings import Settings
from tests import environments
from tests.api.processes import run
from tests.events.described import ASYNCAPI, asyncapi, asyncapi_validator
from tests.events.sender import earn, event, producers, signed

VALIDATE = Path(__file__).parent / "sdks" / "validate.mjs"
NOW = datetime.now(UTC)
_TASK = "5f0c7a52-9d0f-4a3e-8c55-0a2f6a1b2c3d"

READ: dict[str, dict[str, Any]] = {
    "a visit": event(),
    "an earn": earn(),
    "an earn in text": earn() | {"data": '{"amount": 5}'},
    "an earn in base64": {k: v for k, v in earn().items() if k != "data"}
    | {"data_base64": b64encode(b'{"amount": 5}').decode()},
    "every attribute": earn(
        time=(NOW - timedelta(hours=1)).isoformat(),
        datacontenttype="application/json",
        dataschema="https://shop.example/earn",
        version=1,
        taskid=_TASK,
    ),
    "a version in text": earn(version="1"),
    "extensions": event(
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", hops=3, test=True
    ),
    "no data": {k: v for k, v in event().items() if k != "data"},
}
REJECTED: dict[str, dict[str, Any]] = {
    **{
        f"no {name}": {k: v for k, v in event().items() if k != name}
        for name in ("specversion", "id", "source", "type", "subject", "tenantid", "iat")
    },
    "another specversion": event() | {"specversion": "0.3"},
    "an empty id": event() | {"id": ""},
    "a number as id": event() | {"id": 1},
    "a source with a blank": event() | {"source": "/shop web"},
    "a type that is too long": event() | {"type": "v" * 101},
    "a subject with a line end": event() | {"subject": "an\nna"},
    "a subject that is too long": event() | {"subject": "a" * 256},
    "no moment": event() | {"iat": "today"},
    "a moment without a zone": event() | {"iat": "2026-01-01T00:00:00"},
    "an unknown kind": event(kind="give"),
    "a list as data": event() | {"data": []},
    "a number as data": event() | {"data": 5},
    "a list as data_base64": event() | {"data_base64": []},
    "version 0": event(version=0),
    "a task id of another form": event(taskid="42"),
    "an object as extension": event(shop={"name": "web"}),
    "a fraction as extension": event(share=0.5),
}


def is_read(content: object) -> bool:
    """Whether the ledger makes commands of a message."""
    (producer, *_) = producers().producers
    try:
        return bool(commands_of(json.dumps(content).encode(), producer, datetime.now(UTC)))
    except InvalidEvent as error:
        assert error.reject_reason == RejectReason.INVALID_EVENT, error
        return False


@pytest.mark.parametrize("content", READ.values(), ids=READ)
def test_the_document_allows_each_event_that_the_ledger_reads(content: dict[str, Any]) -> None:
    assert is_read(content)
    assert list(asyncapi_validator("event").iter_errors(content)) == []


@pytest.mark.parametrize("content", REJECTED.values(), ids=REJECTED)
def test_the_document_forbids_each_event_that_the_ledger_rejects(content: dict[str, Any]) -> None:
    assert not is_read(content)
    assert not asyncapi_validator("event").is_valid(content)


def test_a_message_may_have_several_events() -> None:
    for content, readable in (([event(1), event(2)], True), ([event(1), 5], False)):
        assert is_read(content) == asyncapi_validator("events").is_valid(content) == readable


def test_a_message_needs_the_headers_of_its_signature() -> None:
    headers = asyncapi()["components"]["messages"]["event"]["headers"]
    validator = jsonschema_rs.Draft7Validator(headers)
    given = signed(b"{}")
    assert validator.is_valid(given)
    assert set(headers["required"]) == set(SIGNATURE_HEADERS) == given.keys()
    for name in SIGNATURE_HEADERS:
        assert not validator.is_valid({other: value for other, value in given.items() if other != name})


def test_channels_have_the_default_names_and_every_type_of_event() -> None:
    channels, settings = asyncapi()["channels"], Settings.model_construct()
    assert channels["sent"]["address"] == settings.events_exchange
    assert channels["received"]["address"] == settings.ingest_queue
    assert set(channels["sent"]["messages"]) == set(EVENT_TYPES)
    assert {each["contentType"] for each in asyncapi()["components"]["messages"].values()} == {CONTENT_TYPE}


@pytest.mark.long
def test_asyncapis_parser_has_nothing_to_say_about_the_document(tmp_path: Path) -> None:
    node = environments.node("asyncapi")
    (tmp_path / "node_modules").symlink_to(node / "node_modules")
    program = tmp_path / VALIDATE.name
    program.write_text(VALIDATE.read_text())
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(asyncapi() | {"channels": {"sent": {"adress": "points.events"}}}))
    env = environments.clean_environ()
    assert run(["node", program, ASYNCAPI], env=env, cwd=tmp_path) == ""
    assert "adress" in run(["node", program, broken], env=env, cwd=tmp_path)
