"""Tests that commands are valid, and that errors name the invalid field."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from pointledger.domain.commands import (
    KINDS,
    AnyCommand,
    ApplyRule,
    Earn,
    Expire,
    ExpireDue,
    Spend,
    Transfer,
    command_from,
)
from pointledger.domain.commands.records import encode
from pointledger.errors import InvalidCommand
from tests.domain import corpus, corpus_values


@pytest.mark.parametrize(("kind", "field"), corpus.by_field())
def test_a_malformed_field_is_named(kind: str, field: str) -> None:
    unnamed = {}
    for what, fields in corpus.by_field()[kind, field]:
        try:
            command_from(kind, fields)
            unnamed[what] = "accepted"
        except InvalidCommand as error:
            # the details after the sentence with which every such error starts
            if not str(error).partition("(")[2].startswith(field):
                unnamed[what] = str(error)
    assert unnamed == {}


@pytest.mark.parametrize("amount", [0, -5, 10**15 + 1, 2**63, 1.0, 1.5, True, "10", None, [1]])
@pytest.mark.parametrize("kind", ["earn", "spend", "transfer", "expire", "freeze", "refund"])
def test_a4_an_amount_is_an_integer_and_lookalikes_are_refused(kind: str, amount: object) -> None:
    fields = {"tenant_id": "shop", "user_id": "anna", "amount": amount}
    with pytest.raises(InvalidCommand, match="amount"):
        command_from(kind, fields | ({"to_user_id": "ben"} if kind == "transfer" else {}))


def test_every_malformed_field_is_named_at_once() -> None:
    with pytest.raises(InvalidCommand) as caught:
        command_from("transfer", {"tenant_id": "", "user_id": 5, "amount": 0})
    for name in ("tenant_id", "user_id", "to_user_id", "amount"):
        assert f"{name}: " in str(caught.value)


def test_an_error_does_not_quote_the_input() -> None:
    with pytest.raises(InvalidCommand) as caught:
        command_from("earn", corpus.fields_of("earn", {"user_id": "<secret>", "amount": "hunter2"}))
    assert "secret" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_error_message_is_bounded_and_has_one_line() -> None:
    junk = {f"field {number}\n": 0 for number in range(1000)}
    with pytest.raises(InvalidCommand) as caught:
        command_from("earn", {**corpus.GOOD["earn"], **junk})
    assert len(str(caught.value)) < 5_000
    assert "\n" not in str(caught.value)


def test_a_directly_constructed_command_is_equally_strict() -> None:
    with pytest.raises(ValidationError, match="amount"):
        Earn(tenant_id="shop", user_id="anna", amount=0)
    with pytest.raises(ValidationError, match="user_id"):
        Spend(tenant_id="shop", user_id="anna\n", amount=1)


@pytest.mark.parametrize("kind", ["", "EARN", "barter", "earn ", None, 5, ["earn"], {"kind": "earn"}, True])
def test_an_unknown_kind_is_refused_with_the_known_kinds(kind: object) -> None:
    with pytest.raises(InvalidCommand, match="kind: one of apply-rule, earn, spend, transfer, expire, exp"):
        command_from(kind, corpus.GOOD["earn"])


@pytest.mark.parametrize("fields", [None, [], "{}", 5, [["amount", 5]]])
def test_a_body_that_is_not_an_object_is_refused(fields: Any) -> None:
    with pytest.raises(InvalidCommand, match="body"):
        command_from("earn", fields)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_valid_example_and_its_wire_name(kind: str) -> None:
    assert command_from(kind, corpus.GOOD[kind]).kind == kind


@pytest.mark.parametrize("amount", [1, 2, corpus_values.MAX_AMOUNT])
def test_an_amount_is_stored_exactly(amount: int) -> None:
    assert Earn(tenant_id="shop", user_id="anna", amount=amount).amount == amount


@pytest.mark.parametrize(
    "user_id", ["a", "A", "0", "a" * 255, "usr_1", "0x10", *corpus_values.GOOD_IDS.values()]
)
def test_a_user_id_is_stored_unchanged(user_id: str) -> None:
    assert Earn(tenant_id="shop", user_id=user_id, amount=1).user_id == user_id


def test_user_ids_are_case_sensitive() -> None:
    one, other = (Earn(tenant_id="shop", user_id=user_id, amount=1) for user_id in ("Anna", "anna"))
    assert one.user_id != other.user_id


@pytest.mark.parametrize("key", ["k", "k" * 255, '"quoted"', "' OR 1=1--", " ", "~!@#$%^&*()"])
def test_a_key_is_any_printable_ascii(key: str) -> None:
    assert Earn(tenant_id="shop", user_id="anna", amount=1, idempotency_key=key).key == key


@pytest.mark.parametrize("text", corpus_values.LITERAL_TEXTS.values(), ids=corpus_values.LITERAL_TEXTS)
def test_free_text_is_stored_literally(text: str) -> None:
    earn = Earn(tenant_id="shop", user_id="anna", amount=1, reason=text, source=text, description=text)
    assert (earn.reason, earn.source, earn.description) == (text, text, text)


def test_text_length_counts_code_points() -> None:
    assert Earn(tenant_id="shop", user_id="anna", amount=1, reason="🙂" * 200).reason == "🙂" * 200


def test_recursive_metadata_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["again"] = loop
    with pytest.raises(InvalidCommand, match="metadata"):
        command_from("apply-rule", {**corpus.GOOD["apply-rule"], "metadata": loop})


def test_a_moment_may_have_any_offset() -> None:
    moments = ("2026-03-01T10:00:00Z", "2026-03-01T18:00:00+08:00", "2026-03-01 04:30:00.000-05:30")
    made = [
        Earn.model_validate({**corpus.GOOD["earn"], "occurred_at": moment}).occurred_at for moment in moments
    ]
    assert made == [datetime(2026, 3, 1, 10, tzinfo=UTC)] * 3


def test_a_moment_keeps_its_microseconds() -> None:
    earn = Earn.model_validate({**corpus.GOOD["earn"], "occurred_at": "2026-03-01T10:00:00.123456Z"})
    assert earn.occurred_at == datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)


def test_a_naive_datetime_is_refused() -> None:
    with pytest.raises(InvalidCommand, match=r"occurred_at.*offset"):
        command_from("earn", {**corpus.GOOD["earn"], "occurred_at": datetime(2026, 3, 1)})  # noqa: DTZ001


def test_a_command_is_immutable() -> None:
    earn = Earn(tenant_id="shop", user_id="anna", amount=1)
    with pytest.raises(ValidationError, match="frozen"):
        earn.amount = 2  # type: ignore[misc]  # the test of immutability


def test_an_events_id_is_its_key_unless_one_is_given() -> None:
    event = {**corpus.GOOD["apply-rule"], "event_id": "order-1"}
    assert ApplyRule.model_validate(event).key == "order-1"
    assert ApplyRule.model_validate({**event, "idempotency_key": "k"}).key == "k"
    assert ApplyRule.model_validate(corpus.GOOD["apply-rule"]).key is None


def test_a_scheduled_command_has_one_key_per_user_and_moment() -> None:
    first, again, later, other = (
        ExpireDue(tenant_id="shop", user_id=user_id, as_of=datetime(2026, 3, day, tzinfo=UTC)).key
        for user_id, day in (("anna", 1), ("anna", 1), ("anna", 2), ("ben", 1))
    )
    assert first == again
    assert len({first, later, other}) == 3


def test_a_scheduled_commands_key_does_not_depend_on_the_offset() -> None:
    in_utc = datetime(2026, 3, 1, tzinfo=UTC)
    in_shanghai = in_utc.astimezone(timezone(timedelta(hours=8)))
    keys = {ExpireDue(tenant_id="shop", user_id="anna", as_of=as_of).key for as_of in (in_utc, in_shanghai)}
    assert len(keys) == 1


def test_only_debits_read_lots_and_pro_rata_reads_all_of_them() -> None:
    who: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}
    commands: list[tuple[AnyCommand, int]] = [
        (Earn(**who, amount=5), 0),
        (ApplyRule(**who, event_type="visit"), 0),
        (ExpireDue(**who, as_of=datetime(2026, 3, 1, tzinfo=UTC)), 0),
        (Spend(**who, amount=5), 5),
        (Transfer(**who, to_user_id="ben", amount=5), 5),
        (Expire(**who, amount=5), 5),
        (Expire(**who, amount=5, strategy="pro_rata"), corpus_values.MAX_AMOUNT),
    ]
    assert [command.debit for command, _ in commands] == [debit for _, debit in commands]


def test_a_transfer_changes_two_users_and_is_ordered_by_its_sender() -> None:
    transfer = Transfer(tenant_id="shop", user_id="anna", to_user_id="ben", amount=1)
    assert transfer.users == ("anna", "ben")
    assert encode(transfer, 64).lane == encode(Spend(tenant_id="shop", user_id="anna", amount=1), 64).lane
