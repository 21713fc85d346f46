"""Tests fingerprints, and the round trip of commands through the journal."""

from typing import Any
from uuid import UUID

import pytest

from pointledger.domain.commands import (
    KINDS,
    AnyCommand,
    ApplyRule,
    command_from,
)
from pointledger.domain.commands.records import decode, encode
from tests.domain import corpus, corpus_json, corpus_values

# ---------------------------------------------------------------------------------------- the fingerprint


def _fingerprint(kind: str, **change: Any) -> bytes:
    return encode(command_from(kind, corpus.fields_of(kind, change)), 64).fingerprint


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_content_has_the_same_fingerprint_under_another_id_key_actor_and_trace(kind: str) -> None:
    other = {"id": UUID(int=7), "idempotency_key": "k", "actor": "till", "extensions": {"traceparent": "00"}}
    assert _fingerprint(kind, **other) == _fingerprint(kind)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("earn", {"amount": 6}),
        ("earn", {"user_id": "ben"}),
        ("earn", {"tenant_id": "other"}),
        ("earn", {"reason": "gift"}),
        ("earn", {"reason": ""}),
        ("earn", {"occurred_at": "2026-03-01T00:00:00Z"}),
        ("earn", {"expires_at": "2026-03-01T00:00:00Z"}),
        ("transfer", {"to_user_id": "carl"}),
        ("expire", {"strategy": "pro_rata"}),
        ("apply-rule", {"event_type": "order"}),
        ("apply-rule", {"metadata": {"a": 1}}),
        ("apply-rule", {"metadata": {"a": None}}),
    ],
)
def test_other_content_has_another_fingerprint(kind: str, change: dict[str, Any]) -> None:
    assert _fingerprint(kind, **change) != _fingerprint(kind)


def test_the_same_fields_of_another_kind_have_another_fingerprint() -> None:
    assert _fingerprint("earn") != _fingerprint("spend")


def test_an_absent_field_equals_null() -> None:
    assert _fingerprint("earn", reason=None, expires_at=None) == _fingerprint("earn")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": {"x": 1, "y": 2}, "b": 2}, {"b": 2, "a": {"y": 2, "x": 1}}),
        ({"order": {"x": 1, "y": 2}}, {"order": {"y": 2, "x": 1}}),
        ({"lines": [{"x": 1, "y": 2}]}, {"lines": [{"y": 2, "x": 1}]}),
    ],
    ids=["at the top", "inside, of two", "inside, of one", "in a list, of one"],
)
def test_the_order_of_keys_in_metadata_does_not_matter(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert _fingerprint("apply-rule", metadata=one) == _fingerprint("apply-rule", metadata=other)


def test_the_order_of_lists_in_metadata_matters() -> None:
    one, other = {"a": [1, 2], "b": 0}, {"a": [2, 1], "b": 0}
    assert _fingerprint("apply-rule", metadata=one) != _fingerprint("apply-rule", metadata=other)


@pytest.mark.parametrize("name", ["occurred_at", "expires_at"])
def test_a_moment_in_another_offset_is_the_same_content(name: str) -> None:
    in_utc, in_berlin = "2026-07-01T10:00:00Z", "2026-07-01T12:00:00+02:00"
    assert _fingerprint("earn", **{name: in_utc}) == _fingerprint("earn", **{name: in_berlin})


# ---------------------------------------------------------------------------------- through the journal


def _through_the_journal(command: AnyCommand) -> AnyCommand:
    line = encode(command, 64)
    return decode(
        line.kind,
        line.version,
        line.payload,
        command_id=line.id,
        tenant_id=line.tenant_id,
        user_id=line.user_id,
        actor=line.actor,
        key=line.key,
        occurred_at=line.occurred_at,
    )


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("earn", {"expires_at": "2027-01-01T00:00:00+08:00", "occurred_at": "2026-01-01T00:00:00Z"}),
        ("earn", {"reason": "caf\u00e9 👩‍👩‍👧", "source": "'--", "description": "a\r\nb\u2028\x1b"}),
        ("spend", {"idempotency_key": "k" * 255, "actor": "till:7"}),
        ("transfer", {"amount": corpus_values.MAX_AMOUNT}),
        ("expire", {"strategy": "pro_rata"}),
        ("expire-due", {"idempotency_key": "nightly"}),
        ("apply-rule", {"metadata": {"n": 2**53 + 1, "list": [1.5, None, True]}, "idempotency_key": "e"}),
    ],
)
def test_a_command_is_unchanged_after_a_round_trip_through_the_journal(
    kind: str, change: dict[str, Any]
) -> None:
    command = command_from(kind, corpus.fields_of(kind, change))
    assert _through_the_journal(command) == command


def test_the_journal_keeps_an_events_key() -> None:
    event = ApplyRule(tenant_id="shop", user_id="anna", event_type="visit", event_id="order-1")
    assert _through_the_journal(event).key == "order-1"


@pytest.mark.parametrize("metadata", corpus_json.GOOD_METADATA.values(), ids=corpus_json.GOOD_METADATA)
def test_metadata_is_exact_after_a_round_trip_through_the_journal(metadata: dict[str, Any]) -> None:
    event = ApplyRule(tenant_id="shop", user_id="anna", event_type="visit", metadata=metadata)
    assert event.metadata == metadata
    assert _through_the_journal(event) == event
