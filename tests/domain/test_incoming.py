"""Events as other services write them: what CloudEvents 1.0 allows becomes a command, whoever made it."""

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointledger import ApplyRule, Earn
from pointledger.domain.commands.records import encode
from pointledger.domain.events.ingested import Misfit, Unfit, commands_of, require_structured
from pointledger.domain.events.producers import Producer

NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TILL = Producer.model_validate(
    {
        "name": "till",
        "keys": [{"id": "k", "secret": "s" * 32}],
        "tenants": "all",
        "kinds": ["apply-rule", "earn"],
    }
)
BASKET: dict[str, Any] = {
    "specversion": "1.0",
    "id": "basket-17",
    "source": "/shop/web",
    "type": "basket.paid",
    "subject": "anna",
    "tenantid": "shop",
    "iat": "2026-03-01T10:00:00Z",
    "data": {"amount_minor": 1999},
}


def event(without: str = "nothing", **more: Any) -> dict[str, Any]:
    return {name: value for name, value in (BASKET | more).items() if name != without}


def command(what: dict[str, Any]) -> Any:
    (found,) = commands_of(json.dumps(what).encode(), TILL, NOW)
    return found


def refusal(what: Any) -> str:
    with pytest.raises(Unfit) as raised:
        commands_of(json.dumps(what).encode(), TILL, NOW)
    assert raised.value.misfit is Misfit.INVALID_EVENT
    return str(raised.value)


def base64(content: bytes) -> str:
    return b64encode(content).decode()


# ----------------------------------------------------------------------------------------- extensions


@pytest.mark.parametrize(
    "extensions",
    [
        {"traceparent": TRACE, "tracestate": "congo=t61rcWkgMzE"},
        {"topic": "points", "pubsubname": "bus", "traceid": TRACE},
        {"knativearrivaltime": "2026-03-01T10:00:00.1Z", "partitionkey": "anna", "sequence": "7"},
        {"sampledrate": 30, "compacted": True, "cold": False, "below": -1},
        {"n" * 64: "", "letters": "été 🙂", "long": "b" * 8 * 1024},
        {f"n{number}": number for number in range(64)},
    ],
    ids=["trace", "Dapr", "Knative", "types", "bounds", "as many as there may be"],
)
def test_other_attributes_are_kept_with_the_command(extensions: dict[str, Any]) -> None:
    found = command(event(**extensions))
    assert found.extensions == extensions
    assert json.loads(encode(found, 16).extensions or "") == extensions
    assert found.metadata == {"amount_minor": 1999}


def test_an_event_without_other_attributes_keeps_none() -> None:
    assert command(event()).extensions is None
    assert encode(command(event()), 16).extensions is None


def test_an_attribute_that_is_null_is_left_out() -> None:
    found = command(event(time=None, traceparent=None, taskid=None, dataschema=None, kind=None, data=None))
    assert (found.extensions, found.occurred_at, found.metadata) == (None, None, {})


def test_another_trace_makes_no_other_command() -> None:
    first, again = (encode(command(event(traceparent=trace)), 16) for trace in (TRACE, "another"))
    assert (first.fingerprint, first.id, first.key) == (again.fingerprint, again.id, again.key)
    assert first.payload == again.payload
    assert "traceparent" not in first.payload


@pytest.mark.parametrize(
    ("extensions", "told"),
    [
        ({"traceParent": TRACE}, "traceParent: an attribute's name is 1 to 64 of a-z and 0-9"),
        ({"trace-parent": TRACE}, "trace-parent: an attribute's name"),
        ({"tenant_id": "shop"}, "tenant_id: an attribute's name"),
        ({"": 1}, ": an attribute's name"),
        ({"été": 1}, "\\xe9t\\xe9: an attribute's name"),
        ({"n" * 65: 1}, "n" * 64 + ": an attribute's name"),
        ({"ratio": 1.5}, "ratio: an extension attribute is text, an integer, true or false"),
        ({"whole": 1.0}, "whole: an extension attribute is text"),
        ({"list": [1]}, "list: an extension attribute is text"),
        ({"bytes": {"0": 1}}, "bytes: an extension attribute is text"),
        ({"large": 1 << 63}, "large: integers must fit 64 bits"),
        ({"nul": "a\x00"}, "nul: text must not contain NUL"),
        ({"half": "\ud800"}, "half: text must not contain lone surrogates"),
        ({"escape": "\x1b[2J"}, "escape: control characters"),
        ({"baggage": "b" * (8 * 1024 + 1)}, "baggage: longer than 8192 characters"),
        ({f"n{number}": 1 for number in range(65)}, "n64: one more than 64 extension attributes"),
        ({"one": "b" * 8000, "two": "b" * 8001, "three": "b" * 500}, "two: all extension attributes have"),
    ],
)  # fmt: skip
def test_an_attribute_that_cannot_be_kept_is_named(extensions: dict[str, Any], told: str) -> None:
    assert refusal(event(**extensions)).startswith(told)


# ----------------------------------------------------------------------------------------------- data


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "APPLICATION/JSON",
        "text/json",
        "application/vnd.shop.basket+json",
        "application/vnd.shop.basket+json; version=2",
    ],
)
def test_every_json_content_type_is_json(content_type: str) -> None:
    assert command(event(datacontenttype=content_type)).metadata == {"amount_minor": 1999}


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        "application/json-seq",
        "application/jsonx",
        "json",
        "/json",
        "",
        "application/+json",
    ],
)
def test_another_content_type_is_refused_by_its_attribute(content_type: str) -> None:
    assert refusal(event(datacontenttype=content_type)).startswith("datacontenttype: application/json, or")


def test_a_content_type_does_not_matter_where_there_is_no_data() -> None:
    assert command(event(without="data", datacontenttype="text/plain")).metadata == {}


def test_data_may_come_as_base64_of_json() -> None:
    found = command(event(without="data", data_base64=base64(b'{"amount_minor": 1999}')))
    assert found == command(event())


def test_text_that_holds_a_json_object_is_that_object() -> None:
    """Both SDKs write it so for a producer that hands them text."""
    assert command(event(data='{"amount_minor": 1999}')) == command(event())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"data": [1]}, "data: a JSON object"),
        ({"data": 5}, "data: a JSON object"),
        ({"data": False}, "data: a JSON object"),
        ({"data": "[1]"}, "data: a JSON object"),
        ({"data": '"{}"'}, "data: a JSON object"),
        ({"data": "x"}, "data: no JSON in it: JSONDecodeError"),
        ({"data": "{'amount_minor': 1999}"}, "data: no JSON in it: JSONDecodeError"),
        ({"data": '{"a": 1, "a": 2}'}, "data: no JSON in it: ValueError: a: given twice"),
        ({"data": {"a": "\x00"}}, "data: Value error, text must not contain NUL"),
        ({"data": {"a": "b" * 16 * 1024}}, "data: Value error, larger than 16384 bytes"),
        ({"data": None, "data_base64": base64(b"\xff")}, "data_base64: no JSON in it: UnicodeDecodeError"),
        ({"data": None, "data_base64": base64(b"x")}, "data_base64: no JSON in it: JSONDecodeError"),
        ({"data": None, "data_base64": base64(b"[]")}, "data_base64: a JSON object"),
        ({"data": None, "data_base64": base64(b'{"a": NaN}')}, "data_base64: no JSON in it: ValueError: NaN"),
        ({"data": None, "data_base64": ""}, "data_base64: no JSON in it: JSONDecodeError"),
        ({"data": None, "data_base64": "e30"}, "data_base64: no JSON in it: Error"),
        ({"data": None, "data_base64": "e3 0="}, "data_base64: no JSON in it: Error"),
        ({"data": None, "data_base64": "é30="}, "data_base64: no JSON in it: ValueError"),
        ({"data": None, "data_base64": {}}, "data_base64: Input should be a valid string"),
        ({"data_base64": "e30="}, "data_base64: there is data, too"),
    ],
)
def test_data_that_is_no_object_is_refused_by_its_attribute(change: dict[str, Any], told: str) -> None:
    assert refusal(event(**change)).startswith(told)


def test_the_fields_of_another_command_are_named_within_data() -> None:
    earn = event(kind="earn", data={"amount": 5})
    assert isinstance(command(earn), Earn)
    assert isinstance(command(event(kind="apply-rule")), ApplyRule)
    assert refusal(earn | {"data": {"amount": 0}}).startswith("data.amount: Input should be")
    assert refusal(earn | {"data": {"amount": 5, "vip": 1}}).startswith("data.vip: Extra inputs")
    assert refusal(earn | {"data": {"amount": 5, "extensions": {}}}) == "data: extensions are the event's own"


# ---------------------------------------------------------------------------------- the other attributes


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
def test_a_time_is_any_that_rfc_3339_allows(written: str, means: datetime) -> None:
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
def test_what_is_no_time_is_refused_by_its_attribute(written: object) -> None:
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
    ("change", "told"),
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
def test_an_attribute_that_cannot_be_taken_is_named(change: dict[str, Any], told: str) -> None:
    assert refusal(event(**change)).startswith(told)
    assert refusal([event(), event(**change)]).startswith(f"event 2: {told}")


@pytest.mark.parametrize("version", [1, "1"])
def test_an_integer_may_come_as_text(version: object) -> None:
    assert command(event(version=version)) == command(event())


@pytest.mark.parametrize(
    "newer", [{"version": 2}, {"version": "2"}, {"specversion": "1.1"}, {"specversion": "10.0"}]
)
def test_a_newer_version_is_told_from_a_wrong_one(newer: dict[str, Any]) -> None:
    with pytest.raises(Unfit) as raised:
        commands_of(json.dumps(event(**newer)).encode(), TILL, NOW)
    assert raised.value.misfit is Misfit.UNKNOWN_VERSION


def test_a_batch_is_a_list_of_events_and_may_be_empty() -> None:
    found = commands_of(json.dumps([event(id="1"), event(id="2")]).encode(), TILL, NOW)
    assert [each.key for each in found] == ["/shop/web 1", "/shop/web 2"]
    assert commands_of(b"[]", TILL, NOW) == []
    assert refusal([event(), 5]) == "one CloudEvent, or a list of 1000 at most"


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=8)  # surrogates, too
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*BASKET, "time", "data_base64", "kind"]) | ANY_TEXT, ANY_JSON))
def test_whatever_stands_in_an_event_it_becomes_a_command_or_is_refused(change: dict[str, Any]) -> None:
    try:
        encode(command(event(**change)), 16)
    except Unfit as error:
        assert str(error)


# ---------------------------------------------------------------------------------------- binary mode


@pytest.mark.parametrize("prefix", ["ce-", "CE-", "ce_", "cloudEvents_", "cloudEvents:"])
@pytest.mark.parametrize("body", [b'{"amount_minor": 1999}', b"", b"\xff", b"[]"])
def test_attributes_in_headers_are_told_from_an_event(prefix: str, body: bytes) -> None:
    headers = {f"{prefix}{name}": "x" for name in ("id", "source", "type", "specversion")}
    with pytest.raises(Unfit, match="send structured mode, with the whole event as JSON") as raised:
        require_structured(body, headers)
    assert raised.value.misfit is Misfit.BINARY_MODE


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (json.dumps(BASKET).encode(), {"ce-id": "basket-17", "ce-specversion": "1.0"}),
        (b"{}", {"x-producer": "till", "content-type": "application/json"}),
    ],
)
def test_an_event_whose_attributes_are_in_headers_too_is_in_structured_mode(
    body: bytes, headers: dict[str, str]
) -> None:
    require_structured(body, headers)
