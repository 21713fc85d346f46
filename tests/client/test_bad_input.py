"""Invalid input is rejected with the name of its field, and changes nothing."""

from typing import Any, cast

import pytest

from pointledger import Earn, command_from
from pointledger.domain.values.json_values import read_json
from pointledger.errors import InvalidCommand
from tests.domain import corpus, corpus_json
from tests.ledger import Ledger

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
        fields = read_json(corpus.in_json(name, text))
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
        *corpus_json.BAD_JSON.values(),
        corpus.in_json("amount", "NaN"),
        corpus.in_json("amount", "-Infinity"),
        corpus.in_json("amount", "0x10"),
        corpus.in_json("amount", "9" * 5000),
        corpus.in_json("metadata", '{"k": 1, "k": 2}'),
        corpus.in_json("metadata", "{" * 100_000),
    ],
    ids=[
        *corpus_json.BAD_JSON,
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
