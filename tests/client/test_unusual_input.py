"""Unusual valid input is accepted, stored exactly and applied."""

import json
from typing import Any

import pytest

from pointledger import ApplyRule, Earn, command_from
from pointledger.domain.commands.records import lane_of
from pointledger.domain.values.json_values import read_json
from pointledger.errors import InvalidCommand
from tests.domain import corpus, corpus_json, corpus_values
from tests.ledger import Ledger, data_of


def _payload(ledger: Ledger) -> dict[str, Any]:
    """Return the stored payload of the only command in the journal."""
    [row] = ledger.rows("SELECT payload::text FROM journal")
    found = json.loads(row[0])
    assert isinstance(found, dict)
    return found


def test_unusual_metadata_is_stored_exactly_and_applied(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.rule(name="visit", event_type="visit", points=1)
    names = list(corpus_json.GOOD_METADATA)
    commands = [
        ApplyRule(tenant_id="shop", user_id="anna", event_type="visit", event_id=name, metadata=metadata)
        for name, metadata in corpus_json.GOOD_METADATA.items()
    ]
    outcomes = ledger.apply(*commands)
    assert [outcome.state for outcome in outcomes] == ["applied"] * len(names)
    stored = dict(ledger.rows("SELECT idempotency_key, payload::text FROM journal"))
    assert {name: json.loads(stored[name])["metadata"] for name in names} == corpus_json.GOOD_METADATA


def test_every_method_stores_extensions_beside_the_payload(ledger: Ledger) -> None:
    ledger.tenant()
    extensions = {"traceparent": "00-1-2-01", "letters": "été 🙂", "sampledrate": 30, "cold": False}
    fields: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna", "amount": 1}
    ledger.client.enqueue(Earn(**fields, extensions=extensions))
    ledger.client.enqueue_many([Earn(**fields, extensions=extensions), Earn(**fields)])
    with ledger.database.begin() as connection:
        ledger.client.enqueue(Earn(**fields, extensions=extensions), connection)
    ledger.client._own.acceptance.accept_each([Earn(**fields, extensions=extensions), Earn(**fields)])
    found = ledger.rows("SELECT extensions, payload::text FROM journal ORDER BY seq")
    assert [row[0] for row in found] == [extensions, extensions, None, extensions, extensions, None]
    assert {row[1] for row in found} == {'{"amount":1}'}


def test_unusual_text_is_stored_literally(ledger: Ledger) -> None:
    ledger.tenant()
    commands = [
        Earn(
            tenant_id="shop",
            user_id="anna",
            amount=1,
            idempotency_key=name,
            reason=text,
            source=text,
            description=text,
        )
        for name, text in corpus_values.LITERAL_TEXTS.items()
    ]
    assert {outcome.state for outcome in ledger.apply(*commands)} == {"applied"}
    stored = dict(ledger.rows("SELECT idempotency_key, payload::text FROM journal"))
    for name, text in corpus_values.LITERAL_TEXTS.items():
        payload = json.loads(stored[name])
        assert (payload["reason"], payload["source"], payload["description"]) == (text, text, text)


def test_sql_in_a_key_or_event_type_is_plain_text(ledger: Ledger) -> None:
    ledger.tenant()
    sql = "'; DROP TABLE journal; --"
    ledger.rule(name=sql, event_type=sql, points=1)
    event = ApplyRule(tenant_id="shop", user_id="anna", event_type=sql, event_id=sql)
    [outcome] = ledger.apply(event)
    assert data_of(outcome)["grants"][0]["rule"] == sql
    assert ledger.rows("SELECT idempotency_key FROM journal")[0][0] == sql


def test_a_composed_and_a_decomposed_accent_are_two_texts(ledger: Ledger) -> None:
    texts = ("caf\u00e9", "cafe\u0301")
    commands = [Earn(tenant_id="shop", user_id="anna", amount=1, reason=text) for text in texts]
    ledger.client.enqueue_many(commands)
    found = ledger.rows("SELECT payload->>'reason' FROM journal ORDER BY seq")
    assert tuple(row[0] for row in found) == texts


def test_an_integer_beyond_floats_is_counted_exactly(ledger: Ledger) -> None:
    ledger.tenant()
    base = {"kind": "per_unit", "field": "n", "per": 10, "points": 1}
    ledger.rule(name="tenths", event_type="visit", base=base)
    fields = read_json(corpus.in_json("metadata", '{"n": 9007199254740993}'))
    [outcome] = ledger.apply(command_from("apply-rule", fields))
    assert data_of(outcome)["points_earned"] == 900719925474099
    assert _payload(ledger)["metadata"] == {"n": 2**53 + 1}


def test_the_largest_amount_is_stored_exactly(ledger: Ledger) -> None:
    ledger.tenant()
    for user_id, amount in (("anna", 10**15), ("ben", 10**15 - 1)):
        text = json.dumps({"tenant_id": "shop", "user_id": user_id, "amount": amount})
        ledger.apply(command_from("earn", read_json(text)))
        assert ledger.balance(user_id) == amount


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("occurred_at", "0001-01-01T00:00:00+14:00"),
        ("occurred_at", "0001-01-01T00:00:00Z"),
        ("occurred_at", "9999-12-31T23:59:59-14:00"),
        ("expires_at", "0001-01-01T00:00:00+14:00"),
        ("expires_at", "9999-12-31T23:59:59-14:00"),
        ("expires_at", "9999-12-31T23:59:59Z"),
    ],
)
def test_no_accepted_moment_blocks_its_lane(ledger: Ledger, name: str, at: str) -> None:
    ledger.tenant(timezone="America/New_York")
    lanes = ledger.settings.lanes
    numbered = (f"user-{number}" for number in range(10_000))
    neighbor = next(
        user for user in numbered if lane_of("shop", user, lanes) == lane_of("shop", "anna", lanes)
    )
    try:
        task_ids = [ledger.client.enqueue(command_from("earn", {**corpus.GOOD["earn"], name: at}))]
    except InvalidCommand as error:
        assert name in str(error)
        task_ids = []
    task_ids.append(ledger.client.enqueue(Earn(tenant_id="shop", user_id=neighbor, amount=5)))
    ledger.drain()
    # a second command reads what the first one wrote
    task_ids += ledger.client.enqueue_many([Earn(tenant_id="shop", user_id=neighbor, amount=5)])
    if len(task_ids) > 2:
        task_ids.append(ledger.client.enqueue(command_from("spend", corpus.GOOD["spend"])))
    ledger.drain()
    outcomes = ledger.client.outcomes(task_ids)
    assert {outcome.state for outcome in outcomes} <= {"applied", "refused"}
