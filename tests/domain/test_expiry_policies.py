"""Tests the effect of changed expiry policies on existing lots. E7 is an acceptance case."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from pointledger.domain.commands import ApplyExpiryPolicy, LotExpiry
from pointledger.domain.commands.outcomes import Decision
from pointledger.domain.ledger.lots import Lot
from pointledger.domain.program.policy_expiry import DatedLot, policy_expiry
from tests.domain.books import APRIL, JUNE, MAY, NOON, SHOP, Shop, data_of, lot_expiries, moment, three_lots

DAY, INSTANT = timedelta(days=1), timedelta(microseconds=1)


def applied_policy(shop: Shop, *moves: tuple[Lot, int, datetime | None], at: datetime = NOON) -> Decision:
    lots = tuple(LotExpiry(lot_id=lot.id, changes=nth, expires_at=end) for lot, nth, end in moves)
    return shop.apply(ApplyExpiryPolicy(tenant_id=SHOP, user_id="anna", lots=lots), at)


def test_e7_a_changed_policy_does_not_change_existing_lots() -> None:
    shop = Shop(default_expiry_days=365)
    shop.earn("anna", 10)
    shop.configure(default_expiry_days=180)
    shop.earn("anna", 20)
    assert lot_expiries(shop) == [(20, NOON + timedelta(days=180)), (10, NOON + timedelta(days=365))]


def test_e7_an_applied_policy_moves_lots_either_way_but_never_into_the_same_day() -> None:
    shop = three_lots()
    april, may, forever = shop.lots("anna")
    midnight = moment("2026-03-02")
    data = data_of(
        applied_policy(shop, (april, 0, JUNE), (may, 0, midnight), (forever, 0, midnight - INSTANT))
    )
    assert (data["lots_moved"], data["lots_unchanged"]) == (2, 1)
    assert lot_expiries(shop) == [(20, midnight), (10, JUNE), (40, None)]
    assert shop.account("anna").next_expiry_at == midnight
    assert {change.cause for change in shop.book.expiry_changes} == {"policy"}


def test_e7_a_lot_that_has_changed_meanwhile_is_skipped() -> None:
    shop = three_lots()
    april, *_ = shop.lots("anna")
    shop.extend("anna", lots=(april.id,), expires_at=JUNE)
    assert data_of(applied_policy(shop, (april, 0, MAY)))["lots_moved"] == 0
    assert data_of(applied_policy(shop, (april, 1, MAY)))["lots_moved"] == 1


def dated(expires_at: datetime | None, rule: tuple[UUID, int] | None = None, **more: Any) -> DatedLot:
    return DatedLot(UUID(int=1), expires_at, 0, 10, NOON, rule, more.get("activates_at"))


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("2027-03-01 12:00", "2026-08-28 12:00"),  # 365 days before, 180 now: beyond the notice period
        ("2026-04-10", "2026-08-28 12:00"),  # its life is longer now
        (None, "2026-08-28 12:00"),
        ("2026-08-28 12:00", "2026-08-28 12:00"),
    ],
)
def test_e7_todays_policy_counts_from_when_a_lot_was_earned(was: str | None, becomes: str) -> None:
    shop = Shop(default_expiry_days=180)
    lot = dated(moment(was) if was else None)
    found = policy_expiry(shop.tenant, shop.book.rules_of(shop.tenant), lot, moment("2026-06-01"))
    assert found == moment(becomes)


@pytest.mark.parametrize(
    ("was", "becomes"), [("2027-03-01", "2026-06-01"), ("2026-04-10", "2026-04-10"), (None, "2026-06-01")]
)
def test_e7_an_overdue_lot_lives_until_the_notice_period_ends_or_its_old_expiry(
    was: str | None, becomes: str
) -> None:
    shop = Shop(default_expiry_days=1)
    lot = dated(moment(was) if was else None)
    found = policy_expiry(shop.tenant, shop.book.rules_of(shop.tenant), lot, JUNE)
    assert found == moment(becomes)


def test_e7_a_rules_policy_precedes_the_tenants_and_counts_from_activation() -> None:
    shop = Shop(default_expiry_days=180)
    first = shop.rule(name="a", points=1, pending_days=10, expiry_days=300)
    shop.rule(name="a", points=1, expiry_days=90)
    lot = dated(moment("2027-03-01"), (first.id, 1))
    rules = shop.book.rules_of(shop.tenant)
    assert policy_expiry(shop.tenant, rules, lot, APRIL) == NOON + timedelta(days=100)
    waited = dated(moment("2027-03-01"), activates_at=NOON + DAY)
    assert policy_expiry(shop.tenant, rules, waited, APRIL) == NOON + timedelta(days=181)
