"""Tests the erasure of a user, and the refusal of later commands."""

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


def test_erasing_forfeits_points_by_entries_and_replaces_the_user_id_by_a_pseudonym() -> None:
    shop = Shop()
    shop.earn("anna", 50)
    shop.earn("anna", 7, activates_at=LATER)
    data = data_of(shop.erase("anna"))
    pseudonym = shop.book.pseudonyms.of(SHOP, "anna")
    assert [(entry["subtype"], entry["amount"]) for entry in data["transactions"]] == [
        ("forfeit", 50),
        ("forfeit", 7),
    ]
    assert (data["points_forfeited"], data["account"]["user_id"]) == (57, pseudonym)
    account = shop.account("anna")
    assert (account.status, account.balance, account.pending_balance) == ("erased", 0, 0)
    assert (account.next_expiry_at, account.next_activation_at) == (None, None)
    assert "anna" not in repr(data)


def test_open_holds_block_an_erasure_until_they_time_out() -> None:
    shop = Shop()
    shop.earn("anna", 50)
    shop.hold("anna", 20, expires_at=LATER)
    assert reason_of(shop.erase("anna")) == "OPEN_HOLDS"
    assert shop.account("anna").status == "active"
    assert data_of(shop.erase("anna", LATER))["points_forfeited"] == 50


def test_closed_and_suspended_accounts_can_be_erased() -> None:
    shop = Shop()
    for user, status in (("anna", "closed"), ("ben", "suspended")):
        shop.earn(user, 5)
        shop.set_status(user, status)
        assert isinstance(shop.erase(user), Applied)
        assert reason_of(shop.earn(user, 5)) == "ACCOUNT_ERASED"


def test_a_user_without_an_account_stays_erased() -> None:
    shop = Shop()
    assert data_of(shop.erase("unknown"))["transactions"] == []
    assert reason_of(shop.earn("unknown", 5)) == "ACCOUNT_ERASED"


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"erase-user"}))
def test_every_command_for_an_erased_user_is_refused(kind: str) -> None:
    shop = Shop(transfer_enabled=True, points_type="cash_equivalent")
    shop.earn("anna", 5)
    shop.earn("ben", 5)
    shop.erase("anna")
    before = shop.history("anna")
    assert reason_of(shop.apply(command_from(kind, corpus.GOOD[kind]), LATER)) == "ACCOUNT_ERASED"
    assert shop.history("anna") == before


def test_erased_precedes_the_recipient_and_follows_a_disabled_feature() -> None:
    shop = Shop(transfer_enabled=True)
    shop.erase("anna")
    assert reason_of(shop.transfer("anna", "unknown", 5)) == "ACCOUNT_ERASED"
    shop.configure(transfer_enabled=False)
    assert reason_of(shop.transfer("anna", "unknown", 5)) == "FEATURE_DISABLED"


def test_a_transfer_to_an_erased_user_is_refused() -> None:
    shop = Shop(transfer_enabled=True)
    shop.earn("anna", 5)
    shop.earn("ben", 5)
    shop.erase("anna")
    assert reason_of(shop.transfer("ben", "anna", 5)) == "RECIPIENT_INACTIVE"


def test_a_second_erasure_is_applied_and_changes_nothing() -> None:
    shop = Shop()
    shop.earn("anna", 5)
    shop.erase("anna")
    before = shop.history("anna")
    assert data_of(shop.erase("anna"))["points_forfeited"] == 0
    assert shop.history("anna") == before


def test_an_erasure_requires_a_key() -> None:
    shop = Shop()
    shop.earn("anna", 5)
    shop.book.pseudonyms = Pseudonyms()
    with pytest.raises(ErasureKeyMissing, match="POINTLEDGER_ERASURE_KEY"):
        shop.erase("anna")
    assert shop.balance("anna") == 5


def test_a_pseudonym_depends_on_key_tenant_and_user_and_is_a_valid_user_id() -> None:
    one = Pseudonyms(b"one")
    made = {one.of("shop", "anna"), one.of("shop", "ben"), one.of("cafe", "anna"), Pseudonyms(b"two").of(
        "shop", "anna")}  # fmt: skip
    assert len(made) == 4
    assert one.of("shop", "anna") == Pseudonyms(b"one").of("shop", "anna")
    assert all(re.fullmatch("erased:[0-9a-f]{32}", pseudonym) for pseudonym in made)
    for pseudonym in made:
        assert command_from("earn", {**corpus.GOOD["earn"], "user_id": pseudonym})
    assert one.check() != Pseudonyms(b"two").check()


# Fields that a command keeps when its user is erased. `erased_payload` removes all other texts.
HARMLESS = {"event_type", "strategy", "policy", "status", "expired", "hold_id", "related_id", "to_user_id"}
HARMLESS |= {"sender", "type", "amount", "currency", "application_id", "exchange_type", "lots"}
HARMLESS |= {"expires_at", "expiring_before", "activates_at"}  # moments
GO = {"event_id", "metadata", "source", "description", "reason"}


def test_the_erasure_covers_every_text_field_of_commands() -> None:
    common = {"id", "tenant_id", "user_id", "actor", "idempotency_key", "occurred_at"}
    common |= {"extensions"}  # a separate column, which is removed as a whole
    unknown: dict[str, Any] = {}
    for kind, command in KINDS.items():
        for name, field in command.model_fields.items():
            holds_text = any(word in repr(field.annotation) for word in ("str", "Literal", "dict", "UUID"))
            if name not in common and holds_text and name not in HARMLESS | GO:
                unknown[kind] = name
    assert unknown == {}
