"""Tests which Celery messages become commands."""

import bz2
import gzip
import json
import lzma
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery, signature
from hypothesis import given
from hypothesis import strategies as st
from kombu.utils.json import dumps

from pointledger import ApplyRule, Earn
from pointledger.domain.events.celery_messages import read
from pointledger.domain.events.celery_rejections import Rejected
from pointledger.ids import parse_id
from tests.domain.celery_messages import FIELDS, ID, NOW, message, refused

APP = Celery("client", set_as_current=False)


# ---------------------------------------------------------------------------------------------- commands


def test_a_minimal_message_is_a_command() -> None:
    body = json.dumps([[], FIELDS, {}]).encode()
    command = read(body, {"task": "points.earn", "id": ID}).command(NOW)
    assert command == Earn(id=parse_id(ID), **FIELDS)


def test_protocol_1_has_everything_in_its_body() -> None:
    body = json.dumps({"task": "points.earn", "id": ID, "args": [], "kwargs": FIELDS, "eta": None}).encode()
    found = read(body, {}, correlation_id="another")
    assert found.task_id == ID
    assert found.command(NOW) == Earn(id=parse_id(ID), **FIELDS)


@pytest.mark.parametrize("protocol", [1, 2])
def test_a_message_of_celery_is_a_command(protocol: int) -> None:
    make = APP.amqp.as_task_v1 if protocol == 1 else APP.amqp.as_task_v2
    made = make(ID, "points.earn", kwargs=FIELDS, countdown=60, now=NOW, timezone=UTC)
    found = read(dumps(made.body).encode(), made.headers, correlation_id=made.properties["correlation_id"])
    assert found.command(NOW) == Earn(id=parse_id(ID), **FIELDS)
    assert found.eta == NOW + timedelta(seconds=60)


def test_a_message_without_an_id_uses_its_correlation_id() -> None:
    found = read(json.dumps([[], FIELDS, {}]).encode(), {"task": "points.earn"}, correlation_id=ID)
    assert found.command(NOW).id == parse_id(ID)


def test_typed_values_of_kombu_are_read_as_text() -> None:
    moment = datetime(2026, 2, 28, 23, 59, 59, 250000, tzinfo=UTC)
    related = parse_id(ID)
    found = message(kwargs={**FIELDS, "occurred_at": moment})
    assert found.command(NOW).occurred_at == moment
    refund = message(kwargs={**FIELDS, "related_id": related}, task="points.refund").command(NOW)
    assert refund.reverses == related
    event = message(
        kwargs={"tenant_id": "shop", "user_id": "anna", "event_type": "visit", "metadata": {"at": moment}},
        task="points.apply_rule",
    ).command(NOW)
    assert isinstance(event, ApplyRule)
    assert event.metadata == {"at": "2026-02-28T23:59:59.250000+00:00"}


PACKED = [
    ("application/x-gzip", zlib.compress),  # kombu's "gzip"
    ("application/x-gzip", gzip.compress),
    ("application/x-bz2", bz2.compress),
    ("application/x-lzma", lzma.compress),
]


@pytest.mark.parametrize(("compression", "pack"), PACKED)
def test_a_compressed_body_is_decompressed(compression: str, pack: Callable[[bytes], bytes]) -> None:
    body = pack(json.dumps([[], FIELDS, {}]).encode())
    assert message(body, compression=compression).command(NOW) == Earn(id=parse_id(ID), **FIELDS)


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON", None]
)
def test_every_spelling_of_the_json_content_type_is_json(kind: str | None) -> None:
    found = read(json.dumps([[], FIELDS, {}]).encode(), {"task": "points.earn", "id": ID}, content_type=kind)
    assert found.command(NOW).tenant_id == "shop"


def test_a_message_that_expires_after_it_is_read_is_a_command() -> None:
    found = message(expires=NOW.isoformat())
    assert found.command(NOW - timedelta(microseconds=1)).tenant_id == "shop"
    assert refused(found) == ("EXPIRED", "expires: 2026-03-01T10:00:00Z had passed when it was read")


def test_a_message_whose_eta_is_after_its_expiry_is_expired() -> None:
    later, earlier = NOW + timedelta(hours=2), NOW + timedelta(hours=1)
    reason, _ = refused(message(eta=later.isoformat(), expires=earlier.isoformat()))
    assert reason == "EXPIRED"


def test_a_moment_without_an_offset_is_in_utc() -> None:
    assert message(eta="2026-03-01T11:00:00").eta == NOW + timedelta(hours=1)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NAMES = ["task", "id", "eta", "expires", "compression", "ignore_result"]


@given(
    body=st.binary() | JSON_VALUES.map(lambda value: json.dumps(value).encode()),
    headers=st.dictionaries(st.sampled_from(NAMES), JSON_VALUES),
    content_type=st.none() | st.text(),
    embedded=JSON_VALUES,
)
def test_any_message_is_read_without_an_exception(
    body: bytes, headers: dict[str, Any], content_type: str | None, embedded: object
) -> None:
    written = json.dumps([[], FIELDS, {"callbacks": embedded, "errbacks": [embedded], "chain": embedded}])
    for raw in (body, written.encode()):
        found = read(raw, headers, content_type=content_type)
        with suppress(Rejected):
            found.command(NOW)
        assert read(found.as_json()).kwargs == found.kwargs
        assert found.rejection is None or found.rejection.message.isprintable()


# ------------------------------------------------------------------------------------------------ stored


def test_a_stored_message_is_read_unchanged() -> None:
    found = message(
        eta="2026-03-01T12:00:00+01:00",
        expires="2026-03-02T00:00:00Z",
        ignore_result=True,
        embedded={"callbacks": [dict(signature("shop.next", queue="shop"))], "errbacks": None, "chain": None},
    )
    assert read(found.as_json()) == found
    assert read(message().as_json()) == message()


def test_a_dead_letter_of_an_older_version_is_read() -> None:
    found = read(json.dumps({"task": "points.earn", "id": ID, "kwargs": FIELDS}).encode())
    assert found.command(NOW) == Earn(id=parse_id(ID), **FIELDS)
