"""Tests ids and lanes, which are contracts between hosts."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from pointledger.domain.commands import Earn
from pointledger.domain.commands.records import lane_of
from pointledger.ids import derive_id, milliseconds_of, new_id, parse_id, show_id

ULID = "01JNBB6YC0R3QGWHM1V2W3X4Y5"
SAME_AS_UUID = "019556b3-7980-c0ef-0e46-81d8b83e93c5"


def test_a_ulid_and_a_uuid_are_two_spellings_of_one_id() -> None:
    assert parse_id(ULID) == parse_id(SAME_AS_UUID) == UUID(SAME_AS_UUID)


def test_either_spelling_may_be_in_lower_or_upper_case() -> None:
    assert parse_id(ULID.lower()) == parse_id(SAME_AS_UUID.upper()) == UUID(SAME_AS_UUID)


def test_an_id_is_shown_as_a_ulid_that_can_be_parsed() -> None:
    assert show_id(UUID(SAME_AS_UUID)) == ULID


def test_the_largest_id_has_both_spellings() -> None:
    assert parse_id("7" + "Z" * 25) == UUID(int=(1 << 128) - 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "0" * 25,
        "0" * 27,
        "8" + "0" * 25,  # one more than fits into 128 bits
        "I" * 26,  # excluded by Crockford's alphabet
        "U" * 26,
        "é" * 26,
        "ß" * 13,  # 26 characters only in upper case
        "0" * 25 + " ",
        "0" * 25 + "\x00",
        "019556b37980c0ef0e4681d8b83e93c5",  # without its hyphens
        "{019556b3-7980-c0ef-0e46-81d8b83e93c5}",
        "urn:uuid:019556b3-7980-c0ef-0e46-81d8b83e93c5",
        " 019556b3-7980-c0ef-0e46-81d8b83e93c5",
        "０19556b3-7980-c0ef-0e46-81d8b83e93c5",  # a full-width digit
        "019556b3-7980-c0ef-0e46-81d8b83e93cg",
        "' OR 1=1--",
    ],
)
def test_other_texts_are_not_ids(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_id(text)


def test_a_command_takes_its_id_in_either_spelling_and_draws_one_if_it_has_none() -> None:
    fields = {"tenant_id": "shop", "user_id": "anna", "amount": 1}
    assert Earn.model_validate({**fields, "id": ULID}) == Earn.model_validate({**fields, "id": SAME_AS_UUID})
    assert Earn.model_validate(fields).id != Earn.model_validate(fields).id


def test_a_new_id_begins_with_its_millisecond() -> None:
    before = milliseconds_of(datetime.now(UTC))
    made = new_id().int >> 80
    assert before <= made <= milliseconds_of(datetime.now(UTC))


def test_ids_derived_from_a_command_are_deterministic() -> None:
    command_id = UUID(SAME_AS_UUID)
    assert derive_id(command_id, 1, 1_740_000_000_000) == UUID("01952014-f800-1e8a-1360-59ef32a735f2")
    assert derive_id(command_id, 2, 1_740_000_000_000) != derive_id(command_id, 1, 1_740_000_000_000)


def test_neighboring_commands_derive_different_ids() -> None:
    made = {derive_id(UUID(int=number), ordinal, 0) for number in range(50) for ordinal in range(50)}
    assert len(made) == 2500


@pytest.mark.parametrize(
    ("tenant_id", "user_id", "of_64", "of_1024"),
    [
        ("shop", "anna", 50, 882),
        ("shop", "ben", 61, 189),
        ("grocer", "u-1", 4, 964),
        ("a", "b:c", 25, 921),
        ("a:b", "c", 4, 132),
    ],
)
def test_a_user_has_the_same_lane_on_every_host_and_in_every_version(
    tenant_id: str, user_id: str, of_64: int, of_1024: int
) -> None:
    assert (lane_of(tenant_id, user_id, 64), lane_of(tenant_id, user_id, 1024)) == (of_64, of_1024)
    assert lane_of(tenant_id, user_id, 1) == 0


def test_users_are_spread_evenly_over_lanes() -> None:
    counts = [0] * 8
    for number in range(4000):
        counts[lane_of("shop", f"user-{number}", 8)] += 1
    assert min(counts) > 400
    assert max(counts) < 600
