"""Tests refunds of spends to the lots that paid. R1 to R11 are acceptance cases."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from pointledger.domain.commands import Refund
from pointledger.domain.ledger.account import MAX_BALANCE
from pointledger.domain.ledger.entry import Entry
from tests.domain.books import NOON, SHOP, Shop, data_of, moment, reason_of, refusal_of

APRIL, MAY = moment("2026-04-01"), moment("2026-05-01")


def spent_twelve(**config: Any) -> Shop:
    """Let Anna spend 12 of 3 + 4 + 10 points that expire in April, in May and never."""
    shop = Shop(transfer_enabled=True, **config)
    shop.earn("anna", 3, expires_at=APRIL)
    shop.earn("anna", 4, expires_at=MAY)
    shop.earn("anna", 10)
    shop.spend("anna", 12)
    return shop


def lots(shop: Shop) -> list[tuple[int, datetime | None]]:
    return [(lot.remaining, lot.expires_at) for lot in shop.lots("anna")]


def test_a_refund_is_a_new_entry_that_names_the_spend() -> None:
    shop = spent_twelve()
    spend = shop.last_entry("anna")
    data = data_of(shop.refund("anna", 12, spend, reason="returned"))
    entry = shop.last_entry("anna")
    assert (entry.type, entry.subtype, entry.delta, entry.related_id) == ("refund", "linked", 12, spend.id)
    assert data["account"]["total_refunded"] == 12
    assert (shop.account("anna").total_spent, shop.balance("anna")) == (12, 17)


def test_r1_all_refunds_together_return_no_more_than_was_spent() -> None:
    shop = spent_twelve()
    spend = shop.last_entry("anna")
    assert reason_of(shop.refund("anna", 13, spend)) == "RELATED_NOT_REVERSIBLE"
    data_of(shop.refund("anna", 5, spend))
    refused = refusal_of(shop.refund("anna", 8, spend))
    assert (refused.reason.name, refused.message) == (
        "RELATED_NOT_REVERSIBLE",
        "7 of its 12 points are left",
    )
    data_of(shop.refund("anna", 7, spend))
    assert reason_of(shop.refund("anna", 1, spend)) == "RELATED_NOT_REVERSIBLE"
    assert shop.balance("anna") == 17


def test_r2_the_lots_that_paid_last_are_refunded_first_with_their_expiry() -> None:
    shop = spent_twelve()
    spend = shop.last_entry("anna")
    before = {lot.id for lot in shop.book.new_lots}
    assert lots(shop) == [(5, None)]
    seen = []
    for amount in (4, 3, 5):
        data_of(shop.refund("anna", amount, spend))
        seen.append(lots(shop))
    assert seen == [
        [(9, None)],
        [(2, MAY), (10, None)],
        [(3, APRIL), (4, MAY), (10, None)],
    ]
    assert {lot.id for lot in shop.book.new_lots} == before
    assert {lot.state for lot in shop.book.new_lots} == {"active"}
    assert shop.account("anna").next_expiry_at == APRIL


def test_r3_points_that_have_expired_since_return_in_a_lot_with_grace() -> None:
    shop = spent_twelve(timezone="Europe/Berlin")
    spend = shop.last_entry("anna")
    paid = shop.book.new_lots[0]
    at = APRIL + timedelta(days=5)
    data_of(shop.refund("anna", 12, spend, at=at))
    assert lots(shop) == [(4, MAY), (3, at + timedelta(days=30)), (10, None)]
    child = shop.lots("anna")[1]
    assert (child.origin_id, child.earned_at) == (paid.origin_id, paid.earned_at)
    assert (child.entry_id, paid.state) == (shop.last_entry("anna").id, "consumed")
    assert reason_of(shop.refund("anna", 1, spend)) == "RELATED_NOT_REVERSIBLE"


def test_r3_a_tenant_configures_its_grace_period() -> None:
    shop = spent_twelve(refund_grace_days=7)
    data_of(shop.refund("anna", 12, shop.last_entry("anna"), at=APRIL))
    assert (3, APRIL + timedelta(days=7)) in lots(shop)


def test_r3_refunded_points_without_grace_expire_at_once() -> None:
    shop = spent_twelve(refund_grace_days=0)
    data = data_of(shop.refund("anna", 12, shop.last_entry("anna"), at=APRIL))
    assert shop.history("anna")[-2:] == [("linked", 12), ("scheduled", -3)]
    assert data["account"]["balance"] == shop.balance("anna") == 14


def test_r3_refunded_points_without_grace_keep_their_past_expiry() -> None:
    shop = spent_twelve(refund_grace_days=0)
    data_of(shop.refund("anna", 12, shop.last_entry("anna"), at=APRIL + timedelta(days=5)))
    assert shop.last_entry("anna").expires_at == APRIL


def test_r3_refunded_points_return_to_their_lot_while_expiry_is_off() -> None:
    shop = spent_twelve(expire_enabled=False)
    data_of(shop.refund("anna", 12, shop.last_entry("anna"), at=APRIL))
    assert lots(shop) == [(3, APRIL), (4, MAY), (10, None)]


def test_r3_refunds_without_grace_do_not_expire_while_expiry_is_off() -> None:
    shop = spent_twelve(expire_enabled=False, refund_grace_days=0)
    data_of(shop.refund("anna", 12, shop.last_entry("anna"), at=APRIL))
    assert lots(shop) == [(3, APRIL), (4, MAY), (10, None)]


def test_r4_transfers_refunds_earns_and_other_users_entries_cannot_be_refunded() -> None:
    shop = spent_twelve()
    shop.earn("ben", 10)
    spend = shop.last_entry("anna")
    shop.refund("anna", 2, spend)
    refund = shop.last_entry("anna")
    shop.transfer("anna", "ben", 2)
    transfer = shop.last_entry("anna")
    for entry in (refund, transfer, shop.entries("anna")[0]):
        assert reason_of(shop.refund("anna", 1, entry)) == "RELATED_NOT_REVERSIBLE"
    assert reason_of(shop.refund("ben", 1, spend)) == "RELATED_NOT_REVERSIBLE"
    assert reason_of(shop.refund("ben", 1, shop.last_entry("ben"))) == "RELATED_NOT_REVERSIBLE"


def test_r5_a_refund_without_an_entry_is_goodwill_with_the_default_expiry() -> None:
    shop = Shop(default_expiry_days=10)
    shop.earn("anna", 1)
    data_of(shop.refund("anna", 5, actor="admin:eve", reason="sorry"))
    entry = shop.last_entry("anna")
    assert (entry.type, entry.subtype, entry.related_id) == ("refund", "goodwill", None)
    assert shop.lots("anna")[-1].expires_at == NOON + timedelta(days=10)
    assert (shop.account("anna").total_refunded, shop.account("anna").total_earned) == (5, 1)


def test_r11_a_changed_rule_does_not_change_a_refund() -> None:
    shop = spent_twelve()
    spend = shop.last_entry("anna")
    shop.configure(min_spend_points=100, spend_enabled=False, earn_enabled=False, max_balance=5)
    data_of(shop.refund("anna", 12, spend))
    assert shop.balance("anna") == 17


def test_l12_a_refund_may_exceed_the_tenants_maximum_but_not_the_ledgers() -> None:
    shop = Shop(max_balance=10)
    shop.earn("anna", 10)
    data_of(shop.refund("anna", 5))
    assert shop.balance("anna") == 15
    assert reason_of(shop.refund("anna", MAX_BALANCE)) == "FIGURE_TOO_LARGE"


def test_q2_a_refund_before_its_spend_is_refused_finally() -> None:
    shop = Shop()
    shop.earn("anna", 10)
    early = Refund(tenant_id=SHOP, user_id="anna", amount=5, related_id=UUID(int=9))
    assert reason_of(shop.apply(early)) == "RELATED_NOT_FOUND"
    data_of(shop.spend("anna", 5))


def test_h6_a_suspended_account_gets_its_points_back() -> None:
    shop = spent_twelve()
    shop.account("anna").status = "suspended"
    data_of(shop.refund("anna", 12, shop.last_entry("anna")))


def owes(owed: int) -> tuple[Shop, Entry]:
    """Let Anna spend 12 of 3 + 4 + 10 points, then the rest, and owe some."""
    shop = spent_twelve()
    spend = shop.last_entry("anna")
    shop.spend("anna", 5)
    shop.account("anna").debt = owed
    return shop, spend


@pytest.mark.parametrize(("owed", "left", "debt"), [(4, [3, 5], 0), (12, [], 0), (20, [], 8)])
def test_a_refund_repays_debt_and_keeps_the_points_that_expire_last(
    owed: int, left: list[int], debt: int
) -> None:
    shop, spend = owes(owed)
    data_of(shop.refund("anna", 12, spend))
    assert (shop.left("anna"), shop.account("anna").debt) == (left, debt)
    refund = shop.last_entry("anna")
    moved = Counter[str]()
    for move in shop.book.moves:
        moved[move.kind] += move.amount if move.entry_id == refund.id else 0
    assert (moved["restore"], moved["debt"]) == (12, min(owed, 12))


def test_refunded_points_count_as_returned_even_if_they_repaid_debt() -> None:
    shop, spend = owes(4)
    data_of(shop.refund("anna", 6, spend))  # 5 without expiry and 1 until May; 4 are owed
    assert lots(shop) == [(2, None)]
    data_of(shop.refund("anna", 6, spend))
    assert lots(shop) == [(3, APRIL), (3, MAY), (2, None)]
    assert reason_of(shop.refund("anna", 1, spend)) == "RELATED_NOT_REVERSIBLE"
