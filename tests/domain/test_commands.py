"""A command that exists is valid; what is not valid names its field."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

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
from pointledger.domain.commands.records import decode, encode
from pointledger.domain.values.json_values import read_json
from pointledger.errors import InvalidCommand
from tests.domain import corpus


@pytest.mark.parametrize(("kind", "field"), corpus.by_field())
def test_a_malformed_field_is_named(kind: str, field: str) -> None:
    unnamed = {}
    for what, fields in corpus.by_field()[kind, field]:
        try:
            command_from(kind, fields)
            unnamed[what] = "accepted"
        except InvalidCommand as error:
            # the particulars, after the sentence that every such error begins with
            if not str(error).partition("(")[2].startswith(field):
                unnamed[what] = str(error)
    assert unnamed == {}


@pytest.mark.parametrize("amount", [0, -5, 10**15 + 1, 2**63, 1.0, 1.5, True, "10", None, [1]])
@pytest.mark.parametrize("kind", ["earn", "spend", "transfer", "expire", "freeze", "refund"])
def test_a4_an_amount_is_a_whole_number_and_nothing_that_looks_like_one(kind: str, amount: object) -> None:
    fields = {"tenant_id": "shop", "user_id": "anna", "amount": amount}
    with pytest.raises(InvalidCommand, match="amount"):
        command_from(kind, fields | ({"to_user_id": "ben"} if kind == "transfer" else {}))


def test_every_malformed_field_is_named_at_once() -> None:
    with pytest.raises(InvalidCommand) as caught:
        command_from("transfer", {"tenant_id": "", "user_id": 5, "amount": 0})
    for name in ("tenant_id", "user_id", "to_user_id", "amount"):
        assert f"{name}: " in str(caught.value)


def test_an_error_does_not_repeat_what_was_sent() -> None:
    with pytest.raises(InvalidCommand) as caught:
        command_from("earn", corpus.fields_of("earn", {"user_id": "<secret>", "amount": "hunter2"}))
    assert "secret" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_errors_text_is_bounded_and_stays_on_one_line() -> None:
    junk = {f"field {number}\n": 0 for number in range(1000)}
    with pytest.raises(InvalidCommand) as caught:
        command_from("earn", {**corpus.GOOD["earn"], **junk})
    assert len(str(caught.value)) < 5_000
    assert "\n" not in str(caught.value)


def test_a_model_that_is_made_directly_is_as_strict() -> None:
    with pytest.raises(ValidationError, match="amount"):
        Earn(tenant_id="shop", user_id="anna", amount=0)
    with pytest.raises(ValidationError, match="user_id"):
        Spend(tenant_id="shop", user_id="anna ", amount=1)


@pytest.mark.parametrize("kind", ["", "EARN", "barter", "earn ", None, 5, ["earn"], {"kind": "earn"}, True])
def test_an_unknown_kind_is_answered_with_the_known_ones(kind: object) -> None:
    with pytest.raises(InvalidCommand, match="kind: one of apply-rule, earn, spend, transfer, expire, exp"):
        command_from(kind, corpus.GOOD["earn"])


@pytest.mark.parametrize("fields", [None, [], "{}", 5, [["amount", 5]]])
def test_a_body_that_is_no_object_is_named_so(fields: Any) -> None:
    with pytest.raises(InvalidCommand, match="body"):
        command_from("earn", fields)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_good_command_and_its_wire_name(kind: str) -> None:
    assert command_from(kind, corpus.GOOD[kind]).kind == kind


@pytest.mark.parametrize("amount", [1, 2, corpus.MAX_AMOUNT])
def test_an_amount_is_taken_exactly(amount: int) -> None:
    assert Earn(tenant_id="shop", user_id="anna", amount=amount).amount == amount


@pytest.mark.parametrize(
    "user_id", ["a", "A", "0", "a" * 64, "usr_1", "a.b:c@d-e", "anna@example.com", "0x10"]
)
def test_an_id_is_taken_as_it_is(user_id: str) -> None:
    assert Earn(tenant_id="shop", user_id=user_id, amount=1).user_id == user_id


def test_ids_differ_by_case() -> None:
    one, other = (Earn(tenant_id="shop", user_id=user_id, amount=1) for user_id in ("Anna", "anna"))
    assert one.user_id != other.user_id


@pytest.mark.parametrize("key", ["k", "k" * 255, '"quoted"', "' OR 1=1--", " ", "~!@#$%^&*()"])
def test_a_key_is_any_printable_ascii(key: str) -> None:
    assert Earn(tenant_id="shop", user_id="anna", amount=1, idempotency_key=key).key == key


@pytest.mark.parametrize("text", corpus.LITERAL_TEXTS.values(), ids=corpus.LITERAL_TEXTS)
def test_free_text_is_taken_literally(text: str) -> None:
    earn = Earn(tenant_id="shop", user_id="anna", amount=1, reason=text, source=text, description=text)
    assert (earn.reason, earn.source, earn.description) == (text, text, text)


def test_text_is_measured_in_code_points() -> None:
    assert Earn(tenant_id="shop", user_id="anna", amount=1, reason="🙂" * 200).reason == "🙂" * 200


@pytest.mark.parametrize("metadata", corpus.GOOD_METADATA.values(), ids=corpus.GOOD_METADATA)
def test_metadata_is_taken_exactly_and_survives_the_journal(metadata: dict[str, Any]) -> None:
    event = ApplyRule(tenant_id="shop", user_id="anna", event_type="visit", metadata=metadata)
    assert event.metadata == metadata
    assert _through_the_journal(event) == event


def test_metadata_that_holds_itself_is_refused() -> None:
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


def test_a_command_does_not_change() -> None:
    earn = Earn(tenant_id="shop", user_id="anna", amount=1)
    with pytest.raises(ValidationError, match="frozen"):
        earn.amount = 2  # type: ignore[misc]  # that is the point


def test_an_events_id_is_its_key_unless_one_is_given() -> None:
    event = {**corpus.GOOD["apply-rule"], "event_id": "order-1"}
    assert ApplyRule.model_validate(event).key == "order-1"
    assert ApplyRule.model_validate({**event, "idempotency_key": "k"}).key == "k"
    assert ApplyRule.model_validate(corpus.GOOD["apply-rule"]).key is None


def test_a_sweep_has_one_key_per_user_and_moment() -> None:
    first, again, later, other = (
        ExpireDue(tenant_id="shop", user_id=user_id, as_of=datetime(2026, 3, day, tzinfo=UTC)).key
        for user_id, day in (("anna", 1), ("anna", 1), ("anna", 2), ("ben", 1))
    )
    assert first == again
    assert len({first, later, other}) == 3


def test_a_sweeps_key_is_the_same_in_every_offset() -> None:
    in_utc = datetime(2026, 3, 1, tzinfo=UTC)
    in_shanghai = in_utc.astimezone(timezone(timedelta(hours=8)))
    keys = {ExpireDue(tenant_id="shop", user_id="anna", as_of=as_of).key for as_of in (in_utc, in_shanghai)}
    assert len(keys) == 1


def test_only_debits_ask_for_points_and_pro_rata_asks_for_every_lot() -> None:
    who: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}
    commands: list[tuple[AnyCommand, int]] = [
        (Earn(**who, amount=5), 0),
        (ApplyRule(**who, event_type="visit"), 0),
        (ExpireDue(**who, as_of=datetime(2026, 3, 1, tzinfo=UTC)), 0),
        (Spend(**who, amount=5), 5),
        (Transfer(**who, to_user_id="ben", amount=5), 5),
        (Expire(**who, amount=5), 5),
        (Expire(**who, amount=5, strategy="pro_rata"), corpus.MAX_AMOUNT),
    ]
    assert [command.debit for command, _ in commands] == [debit for _, debit in commands]


def test_a_transfer_touches_two_users_and_stands_in_its_senders_order() -> None:
    transfer = Transfer(tenant_id="shop", user_id="anna", to_user_id="ben", amount=1)
    assert transfer.users == ("anna", "ben")
    assert encode(transfer, 64).lane == encode(Spend(tenant_id="shop", user_id="anna", amount=1), 64).lane


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


def test_what_is_left_out_is_what_is_null() -> None:
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
def test_the_order_of_metadatas_keys_does_not_matter(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert _fingerprint("apply-rule", metadata=one) == _fingerprint("apply-rule", metadata=other)


def test_the_order_of_metadatas_lists_does() -> None:
    one, other = {"a": [1, 2], "b": 0}, {"a": [2, 1], "b": 0}
    assert _fingerprint("apply-rule", metadata=one) != _fingerprint("apply-rule", metadata=other)


@pytest.mark.parametrize("name", ["occurred_at", "expires_at"])
def test_the_same_moment_in_another_offset_is_the_same_content(name: str) -> None:
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
        ("transfer", {"amount": corpus.MAX_AMOUNT}),
        ("expire", {"strategy": "pro_rata"}),
        ("expire-due", {"idempotency_key": "nightly"}),
        ("apply-rule", {"metadata": {"n": 2**53 + 1, "list": [1.5, None, True]}, "idempotency_key": "e"}),
    ],
)
def test_a_command_comes_out_of_the_journal_as_it_went_in(kind: str, change: dict[str, Any]) -> None:
    command = command_from(kind, corpus.fields_of(kind, change))
    assert _through_the_journal(command) == command


def test_an_event_keeps_its_key_through_the_journal() -> None:
    event = ApplyRule(tenant_id="shop", user_id="anna", event_type="visit", event_id="order-1")
    assert _through_the_journal(event).key == "order-1"


# ------------------------------------------------------------------------------------------------- JSON


@pytest.mark.parametrize("text", corpus.BAD_JSON.values(), ids=corpus.BAD_JSON)
def test_what_is_not_strict_json_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(text)


def test_a_key_that_is_given_twice_is_named() -> None:
    with pytest.raises(ValueError, match="amount: given twice"):
        read_json('{"amount": 1, "user_id": "anna", "amount": 999}')


def test_a_large_object_with_a_key_given_twice_is_refused() -> None:
    # Comparing every key with every other would take minutes.
    text = "{" + ",".join(f'"k{number}":1' for number in range(200_000)) + ',"k0":1}'
    with pytest.raises(ValueError, match="k0: given twice"):
        read_json(text)


def test_an_integer_is_read_exactly() -> None:
    assert read_json("[9007199254740993, 18446744073709551621]") == [2**53 + 1, 2**64 + 5]


def test_decimals_stay_exact_where_they_are_asked_for() -> None:
    assert str(read_json('{"multiplier": 1.15}', decimals=True)["multiplier"]) == "1.15"


def test_bytes_are_utf_8() -> None:
    assert read_json('{"k": "é"}'.encode()) == {"k": "é"}
    with pytest.raises(ValueError, match=r"."):
        read_json(b'{"k": "\xff"}')
