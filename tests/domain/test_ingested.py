"""Tests the attributes of CloudEvents, batches, and binary mode."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointledger.domain.commands.records import encode
from pointledger.domain.events.ingested import InvalidEvent, RejectReason, commands_of, require_structured
from tests.domain.cloud_events import BASKET, NOW, TILL, command, event, refusal

# --------------------------------------------------------------------------------------- attributes


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("2026-03-01T10:00:00Z", NOW),
        ("2026-03-01t10:00:00z", NOW),
        ("2026-03-01 10:00:00Z", NOW),
        ("2026-03-01T11:00:00+01:00", NOW),
        ("2026-03-01T10:00:00-00:00", NOW),
        ("2026-03-01T10:00:00.5Z", NOW + timedelta(seconds=0.5)),
        ("2026-03-01T10:00:00.123456789Z", NOW + timedelta(microseconds=123456)),
        ("2026-03-01T11:00:00.000000001+01:00", NOW),
        ("2026-03-01T10:00:00." + "0" * 40 + "z", NOW),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2017-01-01t05:29:60.5+05:30", datetime(2017, 1, 1, microsecond=500_000, tzinfo=UTC)),
    ],
)
def test_every_time_of_rfc_3339_is_accepted(written: str, means: datetime) -> None:
    assert command(event(time=written)).occurred_at == means


@pytest.mark.parametrize(
    "written",
    [
        "yesterday",
        "2026-03-01",
        "2026-03-01T10:00:00",
        "2026-03-01T10:15:60Z",
        "2026-03-01T23:60:59Z",
        "2026-03-01T10:00:61Z",
        "9999-12-31T23:59:60Z",
        "0001-01-01T00:00:60+05:00",
        1772359200,
    ],
)
def test_an_invalid_time_is_refused(written: object) -> None:
    assert refusal(event(time=written)).startswith("time: ")
    assert refusal(event(iat=written)).startswith("iat: ")


@pytest.mark.parametrize(
    ("source", "id"),
    [
        ("/shop/web", "basket 17"),
        ("/shop/web", "Körbchen"),
        ("/shop/web", "i" * 300),
        ("/shop/web", "a\nb"),
        ("urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66", "1"),
        ("https://example.org/" + "s" * 300, "1"),
    ],
)
def test_every_id_and_source_that_cloudevents_allows_makes_a_key(source: str, id: str) -> None:
    first, again, other = (command(event(source=source, id=each)) for each in (id, id, id + "x"))
    assert (first.id, first.key) == (again.id, again.key)
    assert first.key != other.key
    assert first.id != other.id


def test_the_key_of_an_ordinary_event_is_its_source_and_id() -> None:
    assert command(event()).key == "/shop/web basket-17"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": ""}, "id: String should have at least 1 character"),
        ({"id": 17}, "id: Input should be a valid string"),
        ({"id": None}, "id: Field required"),
        ({"id": "\ud800"}, "id: Input should be a valid string"),
        ({"source": ""}, "source: String should have at least 1 character"),
        ({"source": "the web shop"}, "source: Value error, printable ASCII without blanks"),
        ({"source": None}, "source: Field required"),
        ({"type": ""}, "type: String should have at least 1 character"),
        ({"type": "\ud800"}, "type: Input should be a valid string"),
        ({"subject": None}, "subject: Field required"),
        ({"specversion": "0.3"}, "specversion: Input should be '1.0'"),
        ({"specversion": "latest"}, "specversion: Input should be '1.0'"),
        ({"specversion": None}, "specversion: Field required"),
        ({"dataschema": "a b"}, "dataschema: Value error, printable ASCII without blanks"),
        ({"version": 0}, "version: Input should be greater"),
        ({"version": "one"}, "version: Input should be a valid integer"),
        ({"version": True}, "version: Input should be a valid integer"),
        ({"taskid": "17"}, "taskid: Value error, an id is a ULID or a UUID"),
    ],
)
def test_an_invalid_attribute_is_named(change: dict[str, Any], message: str) -> None:
    assert refusal(event(**change)).startswith(message)
    assert refusal([event(), event(**change)]).startswith(f"event 2: {message}")


@pytest.mark.parametrize("version", [1, "1"])
def test_an_integer_can_be_text(version: object) -> None:
    assert command(event(version=version)) == command(event())


@pytest.mark.parametrize(
    "newer", [{"version": 2}, {"version": "2"}, {"specversion": "1.1"}, {"specversion": "10.0"}]
)
def test_a_newer_version_differs_from_an_invalid_one(newer: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent) as raised:
        commands_of(json.dumps(event(**newer)).encode(), TILL, NOW)
    assert raised.value.reject_reason is RejectReason.UNKNOWN_VERSION


def test_a_batch_is_a_list_of_events_and_can_be_empty() -> None:
    found = commands_of(json.dumps([event(id="1"), event(id="2")]).encode(), TILL, NOW)
    assert [each.key for each in found] == ["/shop/web 1", "/shop/web 2"]
    assert commands_of(b"[]", TILL, NOW) == []
    assert refusal([event(), 5]) == "one CloudEvent, or a list of at most 1000"


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=8)  # surrogates, too
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*BASKET, "time", "data_base64", "kind"]) | ANY_TEXT, ANY_JSON))
def test_any_event_becomes_a_command_or_is_refused(change: dict[str, Any]) -> None:
    try:
        encode(command(event(**change)), 16)
    except InvalidEvent as error:
        assert str(error)


# ---------------------------------------------------------------------------------------- binary mode


@pytest.mark.parametrize("prefix", ["ce-", "CE-", "ce_", "cloudEvents_", "cloudEvents:"])
@pytest.mark.parametrize("body", [b'{"amount_minor": 1999}', b"", b"\xff", b"[]"])
def test_an_event_in_binary_mode_is_refused(prefix: str, body: bytes) -> None:
    headers = {f"{prefix}{name}": "x" for name in ("id", "source", "type", "specversion")}
    with pytest.raises(InvalidEvent, match="send structured mode, with the whole event as JSON") as raised:
        require_structured(body, headers)
    assert raised.value.reject_reason is RejectReason.BINARY_MODE


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (json.dumps(BASKET).encode(), {"ce-id": "basket-17", "ce-specversion": "1.0"}),
        (b"{}", {"x-producer": "till", "content-type": "application/json"}),
    ],
)
def test_an_event_that_repeats_its_attributes_in_headers_is_in_structured_mode(
    body: bytes, headers: dict[str, str]
) -> None:
    require_structured(body, headers)
