"""Tests the parser of strict JSON."""

import pytest

from pointledger.domain.values.json_values import read_json
from tests.domain import corpus_json


@pytest.mark.parametrize("text", corpus_json.BAD_JSON.values(), ids=corpus_json.BAD_JSON)
def test_only_strict_json_is_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(text)


def test_a_duplicate_key_is_named() -> None:
    with pytest.raises(ValueError, match="amount: given twice"):
        read_json('{"amount": 1, "user_id": "anna", "amount": 999}')


def test_a_large_object_with_a_duplicate_key_is_refused() -> None:
    # Comparing every key with every other would take minutes.
    text = "{" + ",".join(f'"k{number}":1' for number in range(200_000)) + ',"k0":1}'
    with pytest.raises(ValueError, match="k0: given twice"):
        read_json(text)


def test_an_integer_is_read_exactly() -> None:
    assert read_json("[9007199254740993, 18446744073709551621]") == [2**53 + 1, 2**64 + 5]


def test_decimals_stay_exact_on_request() -> None:
    assert str(read_json('{"multiplier": 1.15}', decimals=True)["multiplier"]) == "1.15"


def test_bytes_are_read_as_utf_8() -> None:
    assert read_json('{"k": "é"}'.encode()) == {"k": "é"}
    with pytest.raises(ValueError, match=r"."):
        read_json(b'{"k": "\xff"}')
