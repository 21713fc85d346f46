"""Erasing a user: what becomes of the account, and what every later command hears."""

import re
from typing import Any

import pytest

from pointledger.domain.commands import KINDS, command_from
from pointledger.domain.commands.outcomes import Applied
from pointledger.domain.values.pseudonyms import Pseudonyms
from pointledger.errors import ErasureKeyMissing
from tests.domain import corpus
from tests.domain.books import SHOP, Shop, data_of, moment, reason_of

LATER = moment("2026-04-01")


def test_what_is_left_is_forfeited_by_explicit_entries_and_a_pseudonym_takes_the_users_place() -> None:
    shop = Shop()
    shop.earn("anna", 50)
    shop.earn("anna", 7, activates_at=LATER)
    told = data_of(shop.erase("anna"))
    pseudonym = shop.book.pseudonyms.of(SHOP, "anna")
    assert [(entry["subtype"], entry["amount"]) for entry in told["transactions"]] == [
        ("forfeit", 50),
        ("forfeit", 7),
    ]
    assert (told["points_forfeited"], told["account"]["user_id"]) == (57, pseudonym)
    account = shop.account("anna")
    assert (account.status, account.balance, account.pending_balance) == ("erased", 0, 0)
    assert (account.next_expiry_at, account.next_activation_at) == (None, None)
    assert "anna" not in repr(told)


def test_open_holds_block_it_until_they_have_timed_out() -> None:
    shop = Shop()
    shop.earn("anna", 50)
    shop.hold("anna", 20, expires_at=LATER)
    assert reason_of(shop.erase("anna")) == "OPEN_HOLDS"
    assert shop.account("anna").status == "active"
    assert data_of(shop.erase("anna", LATER))["points_forfeited"] == 50


def test_a_closed_account_is_erased_and_a_suspended_one_too() -> None:
    shop = Shop()
    for user, status in (("anna", "closed"), ("ben", "suspended")):
        shop.earn(user, 5)
        shop.set_status(user, status)
        assert isinstance(shop.erase(user), Applied)
        assert reason_of(shop.earn(user, 5)) == "ACCOUNT_ERASED"


def test_a_user_without_an_account_stays_erased_too() -> None:
    shop = Shop()
    assert data_of(shop.erase("nobody"))["transactions"] == []
    assert reason_of(shop.earn("nobody", 5)) == "ACCOUNT_ERASED"


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"erase-user"}))
def test_every_command_for_an_erased_user_is_refused(kind: str) -> None:
    shop = Shop(transfer_enabled=True, points_type="cash_equivalent")
    shop.earn("anna", 5)
    shop.earn("ben", 5)
    shop.erase("anna")
    before = shop.told("anna")
    assert reason_of(shop.apply(command_from(kind, corpus.GOOD[kind]), LATER)) == "ACCOUNT_ERASED"
    assert shop.told("anna") == before


def test_erased_comes_before_the_recipient_and_after_a_feature_that_is_switched_off() -> None:
    shop = Shop(transfer_enabled=True)
    shop.erase("anna")
    assert reason_of(shop.transfer("anna", "nobody", 5)) == "ACCOUNT_ERASED"
    shop.configure(transfer_enabled=False)
    assert reason_of(shop.transfer("anna", "nobody", 5)) == "FEATURE_DISABLED"


def test_nobody_transfers_to_an_erased_user() -> None:
    shop = Shop(transfer_enabled=True)
    shop.earn("anna", 5)
    shop.earn("ben", 5)
    shop.erase("anna")
    assert reason_of(shop.transfer("ben", "anna", 5)) == "RECIPIENT_INACTIVE"


def test_erasing_again_changes_nothing_and_is_no_refusal() -> None:
    shop = Shop()
    shop.earn("anna", 5)
    shop.erase("anna")
    before = shop.told("anna")
    assert data_of(shop.erase("anna"))["points_forfeited"] == 0
    assert shop.told("anna") == before


def test_without_a_key_nobody_is_erased() -> None:
    shop = Shop()
    shop.earn("anna", 5)
    shop.book.pseudonyms = Pseudonyms()
    with pytest.raises(ErasureKeyMissing, match="POINTLEDGER_ERASURE_KEY"):
        shop.erase("anna")
    assert shop.balance("anna") == 5


def test_a_pseudonym_depends_on_key_tenant_and_user_and_is_an_id_like_any_other() -> None:
    one = Pseudonyms(b"one")
    made = {one.of("shop", "anna"), one.of("shop", "ben"), one.of("cafe", "anna"), Pseudonyms(b"two").of(
        "shop", "anna")}  # fmt: skip
    assert len(made) == 4
    assert one.of("shop", "anna") == Pseudonyms(b"one").of("shop", "anna")
    assert all(re.fullmatch("erased:[0-9a-f]{32}", pseudonym) for pseudonym in made)
    for pseudonym in made:
        assert command_from("earn", {**corpus.GOOD["earn"], "user_id": pseudonym})
    assert one.check() != Pseudonyms(b"two").check()


# What may stay of a command when its user is erased; all other texts go (`erased_payload`).
HARMLESS = {"event_type", "strategy", "policy", "status", "expired", "hold_id", "related_id", "to_user_id"}
HARMLESS |= {"type", "amount", "currency", "application_id", "exchange_type", "lots"}
HARMLESS |= {"expires_at", "expiring_before", "activates_at"}  # moments
GO = {"event_id", "metadata", "source", "description", "reason"}


def test_every_field_of_a_command_that_may_hold_text_is_known_to_the_erasure() -> None:
    common = {"id", "tenant_id", "user_id", "actor", "idempotency_key", "occurred_at"}
    common |= {"extensions"}  # a column of its own, which goes as a whole
    unknown: dict[str, Any] = {}
    for kind, command in KINDS.items():
        for name, field in command.model_fields.items():
            holds_text = any(word in repr(field.annotation) for word in ("str", "Literal", "dict", "UUID"))
            if name not in common and holds_text and name not in HARMLESS | GO:
                unknown[kind] = name
    assert unknown == {}
