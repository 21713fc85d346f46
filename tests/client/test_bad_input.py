"""Invalid input is rejected with the name of its field and changes nothing; unusual valid input is stored
exactly."""

import json
from typing import Any, cast

import pytest

from pointledger import ApplyRule, Earn, command_from
from pointledger.domain.commands.records import lane_of
from pointledger.domain.values.json_values import read_json
from pointledger.errors import InvalidCommand
from tests.domain import corpus
from tests.ledger import Ledger, data_of

TABLES = (
    "journal",
    "pending",
    "aliases",
    "outcomes",
    "accounts",
    "entries",
    "lots",
    "failures",
    "dead_letters",
)


def assert_nothing_was_accepted(ledger: Ledger) -> None:
    ledger.drain()
    counts = dict(zip(TABLES, ledger.counts(*TABLES), strict=True))
    assert counts == dict.fromkeys(TABLES, 0)


def test_every_malformed_field_is_named_and_nothing_is_accepted(ledger: Ledger) -> None:
    ledger.tenant(transfer_enabled=True)
    unnamed = {}
    for kind, case, change, field in corpus.BAD:
        try:
            ledger.client.enqueue(command_from(kind, corpus.fields_of(kind, change)))
            unnamed[kind, case] = "accepted"
        except InvalidCommand as error:
            if not str(error).partition("(")[2].startswith(field):
                unnamed[kind, case] = str(error)
    assert unnamed == {}
    assert_nothing_was_accepted(ledger)


def _in_json(name: str, text: str) -> str:
    """Return the text of an earn (or, for metadata, an event) with one field as this text."""
    kind = "apply-rule" if name == "metadata" else "earn"
    others = [
        json.dumps(key) + ": " + json.dumps(value) for key, value in corpus.GOOD[kind].items() if key != name
    ]
    return "{" + ", ".join([*others, f'"{name}": {text}']) + "}"


# Invalid fields as JSON text, where it differs from a Python value.
BAD_IN_JSON: dict[str, tuple[str, str]] = {
    "minus zero": ("amount", "-0"),
    "a whole float": ("amount", "1.0"),
    "an exponent": ("amount", "1e3"),
    "beyond floats": ("amount", "1e309"),
    "2^53 + 1, over the most": ("amount", "9007199254740993"),
    "2^64 + 5": ("amount", "18446744073709551621"),
    "90 digits": ("amount", "9" * 90),
    "text": ("amount", '"5"'),
    "true": ("amount", "true"),
    "null": ("amount", "null"),
    "escaped NUL": ("user_id", '"anna\\u0000"'),
    "escaped lone surrogate": ("user_id", '"\\ud800"'),
    "escaped zero-width space": ("user_id", '"an\\u200bna"'),
    "escaped right to left": ("user_id", '"\\u202eanna"'),
    "escaped line break": ("user_id", '"anna\\r\\n"'),
    "an operator": ("user_id", '{"$gt": ""}'),
    "NUL in text": ("reason", '"a\\u0000b"'),
    "a lone surrogate in text": ("description", '"\\udfff"'),
    "1e309 in metadata": ("metadata", '{"k": 1e309}'),
    "-1e309 in metadata": ("metadata", '{"k": [-1e309]}'),
    "2^64 + 5 in metadata": ("metadata", '{"k": 18446744073709551621}'),
    "NUL in metadata": ("metadata", '{"k": "\\u0000"}'),
    "NUL in a key": ("metadata", '{"\\u0000": 1}'),
    "a lone surrogate in metadata": ("metadata", '{"k": "\\ud800"}'),
    "a lone surrogate in a key": ("metadata", '{"\\udfff": 1}'),
    "900 levels": ("metadata", '{"a":' * 900 + "1" + "}" * 900),
}


def test_every_invalid_json_field_is_named_and_nothing_is_accepted(ledger: Ledger) -> None:
    ledger.tenant()
    unnamed = {}
    for case, (name, text) in BAD_IN_JSON.items():
        kind = "apply-rule" if name == "metadata" else "earn"
        fields = read_json(_in_json(name, text))
        try:
            ledger.client.enqueue(command_from(kind, fields))
            unnamed[case] = "accepted"
        except InvalidCommand as error:
            if not str(error).partition("(")[2].startswith(name):
                unnamed[case] = str(error)
    assert unnamed == {}
    assert_nothing_was_accepted(ledger)


@pytest.mark.parametrize(
    "text",
    [
        *corpus.BAD_JSON.values(),
        _in_json("amount", "NaN"),
        _in_json("amount", "-Infinity"),
        _in_json("amount", "0x10"),
        _in_json("amount", "9" * 5000),
        _in_json("metadata", '{"k": 1, "k": 2}'),
        _in_json("metadata", "{" * 100_000),
    ],
    ids=[
        *corpus.BAD_JSON,
        "amount NaN",
        "amount -Infinity",
        "amount 0x10",
        "5000 digits",
        "a duplicate key",
        "100 000 {",
    ],
)
def test_json_that_is_not_strict_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(text)


def test_one_malformed_command_rejects_the_whole_call(ledger: Ledger) -> None:
    rows = [corpus.GOOD["earn"], {**corpus.GOOD["earn"], "amount": "5"}, corpus.GOOD["earn"]]
    with pytest.raises(InvalidCommand, match="amount"):
        ledger.client.enqueue_many([command_from("earn", fields) for fields in rows])
    assert_nothing_was_accepted(ledger)


def test_the_key_of_a_malformed_command_is_still_free(ledger: Ledger) -> None:
    ledger.tenant()
    with pytest.raises(InvalidCommand):
        ledger.client.enqueue(
            command_from("earn", {**corpus.GOOD["earn"], "amount": 0, "idempotency_key": "k"})
        )
    [outcome] = ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=5, idempotency_key="k"))
    assert outcome.state == "applied"


@pytest.mark.parametrize(
    "task_id", ["", "x", "' OR 1=1--", "0" * 25, "U" * 26, "\x00" * 26, "é" * 26, "\ud800"]
)
def test_a_malformed_task_id_is_named(ledger: Ledger, task_id: str) -> None:
    with pytest.raises(InvalidCommand, match="task_id"):
        ledger.client.outcome(task_id)


def test_one_malformed_task_id_among_valid_ones_is_named(ledger: Ledger) -> None:
    with pytest.raises(InvalidCommand, match="task_id"):
        ledger.client.outcomes(["01JNBB6YC0R3QGWHM1V2W3X4Y5", "x"])


# ---------------------------------------------------------------------- unusual, and stored exactly


def _payload(ledger: Ledger) -> dict[str, Any]:
    """Return the stored payload of the only command in the journal."""
    [row] = ledger.rows("SELECT payload::text FROM journal")
    found = json.loads(row[0])
    assert isinstance(found, dict)
    return found


def test_unusual_metadata_is_stored_exactly_and_applied(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.rule(name="visit", event_type="visit", points=1)
    names = list(corpus.GOOD_METADATA)
    commands = [
        ApplyRule(tenant_id="shop", user_id="anna", event_type="visit", event_id=name, metadata=metadata)
        for name, metadata in corpus.GOOD_METADATA.items()
    ]
    outcomes = ledger.apply(*commands)
    assert [outcome.state for outcome in outcomes] == ["applied"] * len(names)
    stored = dict(ledger.rows("SELECT idempotency_key, payload::text FROM journal"))
    assert {name: json.loads(stored[name])["metadata"] for name in names} == corpus.GOOD_METADATA


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


def test_extensions_that_were_changed_are_validated_again_on_acceptance(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="traceparent: an extension attribute is text"):
        Earn(tenant_id="shop", user_id="anna", amount=1, extensions={"traceparent": None})
    earn = Earn(tenant_id="shop", user_id="anna", amount=1, extensions={"traceparent": "00"})
    assert earn.extensions is not None
    earn.extensions["traceparent"] = "\x00"
    with pytest.raises(InvalidCommand, match="extensions: traceparent: text must not contain NUL"):
        ledger.client.enqueue(earn)
    del earn.extensions["traceparent"]
    cast(dict[Any, Any], earn.extensions)[17] = "a number's name"
    with pytest.raises(InvalidCommand, match="extensions: 17: an attribute's name"):
        ledger.client.enqueue(earn)
    assert ledger.counts("journal") == [0]


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
        for name, text in corpus.LITERAL_TEXTS.items()
    ]
    assert {outcome.state for outcome in ledger.apply(*commands)} == {"applied"}
    stored = dict(ledger.rows("SELECT idempotency_key, payload::text FROM journal"))
    for name, text in corpus.LITERAL_TEXTS.items():
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
    fields = read_json(_in_json("metadata", '{"n": 9007199254740993}'))
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
