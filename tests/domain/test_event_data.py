"""Tests the data and the extension attributes of CloudEvents."""

import json
from typing import Any

import pytest

from pointledger import ApplyRule, Earn
from pointledger.domain.commands.records import encode
from tests.domain.cloud_events import TRACE, base64, command, event, refusal

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
    ids=["trace", "Dapr", "Knative", "types", "bounds", "the maximum number"],
)
def test_extension_attributes_are_kept_with_the_command(extensions: dict[str, Any]) -> None:
    found = command(event(**extensions))
    assert found.extensions == extensions
    assert json.loads(encode(found, 16).extensions or "") == extensions
    assert found.metadata == {"amount_minor": 1999}


def test_an_event_without_extension_attributes_keeps_none() -> None:
    assert command(event()).extensions is None
    assert encode(command(event()), 16).extensions is None


def test_an_attribute_that_is_null_is_absent() -> None:
    found = command(event(time=None, traceparent=None, taskid=None, dataschema=None, kind=None, data=None))
    assert (found.extensions, found.occurred_at, found.metadata) == (None, None, {})


def test_another_trace_is_the_same_command() -> None:
    first, again = (encode(command(event(traceparent=trace)), 16) for trace in (TRACE, "another"))
    assert (first.fingerprint, first.id, first.key) == (again.fingerprint, again.id, again.key)
    assert first.payload == again.payload
    assert "traceparent" not in first.payload


@pytest.mark.parametrize(
    ("extensions", "message"),
    [
        ({"traceParent": TRACE}, "traceParent: an attribute's name has 1 to 64 characters of a-z and 0-9"),
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
        ({f"n{number}": 1 for number in range(65)}, "n64: an event has at most 64 extension attributes"),
        ({"one": "b" * 8000, "two": "b" * 8001, "three": "b" * 500}, "two: all extension attributes"),
    ],
)  # fmt: skip
def test_an_invalid_extension_attribute_is_named(extensions: dict[str, Any], message: str) -> None:
    assert refusal(event(**extensions)).startswith(message)


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
def test_another_content_type_is_refused(content_type: str) -> None:
    assert refusal(event(datacontenttype=content_type)).startswith("datacontenttype: application/json, or")


def test_a_content_type_does_not_matter_without_data() -> None:
    assert command(event(without="data", datacontenttype="text/plain")).metadata == {}


def test_data_can_be_base64_of_json() -> None:
    found = command(event(without="data", data_base64=base64(b'{"amount_minor": 1999}')))
    assert found == command(event())


def test_text_of_a_json_object_is_that_object() -> None:
    """Both SDKs write it like this for a producer that passes text."""
    assert command(event(data='{"amount_minor": 1999}')) == command(event())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": [1]}, "data: a JSON object"),
        ({"data": 5}, "data: a JSON object"),
        ({"data": False}, "data: a JSON object"),
        ({"data": "[1]"}, "data: a JSON object"),
        ({"data": '"{}"'}, "data: a JSON object"),
        ({"data": "x"}, "data: not JSON: JSONDecodeError"),
        ({"data": "{'amount_minor': 1999}"}, "data: not JSON: JSONDecodeError"),
        ({"data": '{"a": 1, "a": 2}'}, "data: not JSON: ValueError: a: given twice"),
        ({"data": {"a": "\x00"}}, "data: Value error, text must not contain NUL"),
        ({"data": {"a": "b" * 16 * 1024}}, "data: Value error, larger than 16384 bytes"),
        ({"data": None, "data_base64": base64(b"\xff")}, "data_base64: not JSON: UnicodeDecodeError"),
        ({"data": None, "data_base64": base64(b"x")}, "data_base64: not JSON: JSONDecodeError"),
        ({"data": None, "data_base64": base64(b"[]")}, "data_base64: a JSON object"),
        ({"data": None, "data_base64": base64(b'{"a": NaN}')}, "data_base64: not JSON: ValueError: NaN"),
        ({"data": None, "data_base64": ""}, "data_base64: not JSON: JSONDecodeError"),
        ({"data": None, "data_base64": "e30"}, "data_base64: not JSON: Error"),
        ({"data": None, "data_base64": "e3 0="}, "data_base64: not JSON: Error"),
        ({"data": None, "data_base64": "é30="}, "data_base64: not JSON: ValueError"),
        ({"data": None, "data_base64": {}}, "data_base64: Input should be a valid string"),
        ({"data_base64": "e30="}, "data_base64: an event has data or"),
    ],
)
def test_data_that_is_not_an_object_is_refused(change: dict[str, Any], message: str) -> None:
    assert refusal(event(**change)).startswith(message)


def test_invalid_fields_of_another_kind_are_named_within_data() -> None:
    earn = event(kind="earn", data={"amount": 5})
    assert isinstance(command(earn), Earn)
    assert isinstance(command(event(kind="apply-rule")), ApplyRule)
    assert refusal(earn | {"data": {"amount": 0}}).startswith("data.amount: Input should be")
    assert refusal(earn | {"data": {"amount": 5, "vip": 1}}).startswith("data.vip: Extra inputs")
    assert refusal(earn | {"data": {"amount": 5, "extensions": {}}}) == "data: extensions are the event's own"
