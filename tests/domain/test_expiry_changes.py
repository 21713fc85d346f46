"""Tests changes of expiry: extensions, exemptions, notice periods.

E8, E9 and E13 are acceptance cases.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from pointledger.domain.commands import command_from
from pointledger.domain.program.tenant import tenant_from
from pointledger.errors import InvalidCommand
from tests.domain.books import (
    APRIL,
    JUNE,
    MAY,
    NOON,
    SHOP,
    Shop,
    data_of,
    lot_expiries,
    moment,
    reason_of,
    three_lots,
)

DAY, INSTANT = timedelta(days=1), timedelta(microseconds=1)


# ----------------------------------------------------------------------------------------- extensions


def test_lots_that_expire_before_a_moment_are_extended_and_reordered() -> None:
    shop = three_lots()
    data = data_of(shop.extend("anna", expiring_before=MAY, expires_at=JUNE))
    assert (data["lots_moved"], data["points_moved"], data["lots_unchanged"]) == (1, 10, 0)
    assert data["lots"] == [
        {"lot_id": shop.lots("anna")[1].id, "expires_at_before": APRIL, "expires_at": JUNE}
    ]
    assert lot_expiries(shop) == [(20, MAY), (10, JUNE), (40, None)]
    assert shop.account("anna").next_expiry_at == MAY
    assert len(shop.entries("anna")) == 3, "no points moved, so there is no entry"
    shop.spend("anna", 25)
    assert lot_expiries(shop) == [(5, JUNE), (40, None)]


def test_each_change_is_recorded_between_two_entries() -> None:
    shop = three_lots()
    shop.extend("anna", expiring_before=MAY, expires_at=JUNE)
    shop.spend("anna", 1)
    shop.extend("anna", expiring_before=JUNE + DAY, never=True)
    found = [
        (change.nth, change.was, change.becomes, change.after_seq) for change in shop.book.expiry_changes
    ]
    assert found == [(1, APRIL, JUNE, 3), (1, MAY, None, 4), (2, JUNE, None, 4)]


@pytest.mark.parametrize(
    ("until", "expires_at"),
    [
        ({"days": 30}, "2026-05-01 00:00"),
        ({"months": 2}, "2026-06-01 00:00"),
        ({"never": True}, None),
        ({"expires_at": "2026-04-01T00:00:01Z"}, "2026-04-01 00:00:01"),
    ],
)
def test_an_extension_is_to_a_moment_by_a_span_or_unlimited(
    until: dict[str, Any], expires_at: str | None
) -> None:
    shop = Shop()
    shop.earn("anna", 10, expires_at=APRIL)
    shop.extend("anna", expiring_before=MAY, **until)
    assert shop.lots("anna")[0].expires_at == (moment(expires_at) if expires_at else None)


def test_an_extension_counts_days_of_the_tenants_calendar() -> None:
    shop = Shop(timezone="Europe/Berlin")
    shop.earn("anna", 10, expires_at=moment("2026-03-27 23:00"))  # local midnight; clocks change on the 29th
    shop.extend("anna", expiring_before=MAY, days=2)
    assert shop.lots("anna")[0].expires_at == moment("2026-03-29 22:00")


def test_an_extension_never_shortens_a_lot() -> None:
    shop = three_lots()
    for until in (NOON, APRIL, APRIL + DAY):
        shop.extend("anna", lots=tuple(lot.id for lot in shop.lots("anna")), expires_at=until)
    assert lot_expiries(shop) == [(10, APRIL + DAY), (20, MAY), (40, None)]
    data = data_of(shop.extend("anna", lots=(shop.lots("anna")[2].id,), days=5))
    assert (data["lots_moved"], data["lots_unchanged"]) == (0, 1), "a lot without expiry is not extended"


def test_lots_are_selected_by_their_ids_or_their_entries() -> None:
    shop = three_lots()
    first, second, _ = shop.lots("anna")
    shop.extend("anna", lots=(first.entry_id, second.id, second.entry_id), days=1)
    assert [lot.expires_at for lot in shop.lots("anna")] == [APRIL + DAY, MAY + DAY, None]


def test_an_unknown_or_empty_lot_is_not_found_and_nothing_changes() -> None:
    shop = three_lots()
    first, second, _ = shop.lots("anna")
    shop.spend("anna", 10)
    for gone in (UUID(int=7), first.id):
        assert reason_of(shop.extend("anna", lots=(second.id, gone), days=1)) == "RELATED_NOT_FOUND"
    assert lot_expiries(shop) == [(20, MAY), (40, None)]


def test_due_points_expire_before_an_extension() -> None:
    shop = three_lots()
    data = data_of(shop.extend("anna", expiring_before=MAY, expires_at=JUNE, at=APRIL))
    assert (data["lots_moved"], shop.balance("anna")) == (0, 60)


def test_pending_points_can_be_extended() -> None:
    shop = Shop()
    shop.earn("anna", 10, activates_at=APRIL, expires_at=MAY)
    assert data_of(shop.extend("anna", expiring_before=JUNE, expires_at=JUNE))["lots_moved"] == 1
    data_of(shop.spend("anna", 10, at=JUNE - INSTANT))


def test_h2_held_points_are_extended_with_their_lot_and_need_no_grace() -> None:
    shop = Shop(hold_grace_days=0)
    shop.earn("anna", 10, expires_at=APRIL)
    hold = shop.hold("anna", 10)
    data = data_of(shop.extend("anna", expiring_before=MAY, expires_at=JUNE, at=APRIL + DAY))
    assert (data["lots_moved"], data["points_moved"]) == (1, 10)
    shop.unfreeze("anna", hold_id=hold.id)
    assert lot_expiries(shop) == [(10, JUNE)]
    assert shop.account("anna").next_expiry_at == JUNE


def test_transferred_points_keep_their_current_expiry() -> None:
    shop = Shop(transfer_enabled=True)
    shop.earn("ben", 1)
    shop.earn("anna", 10, expires_at=APRIL)
    shop.transfer("anna", "ben", 4)
    shop.extend("anna", expiring_before=MAY, expires_at=MAY)
    shop.transfer("anna", "ben", 4)
    assert [lot.expires_at for lot in shop.lots("ben")] == [APRIL, MAY, None]


def test_r2_a_refund_follows_the_recorded_order_of_payment() -> None:
    shop = Shop()
    for amount, expires_at in ((10, APRIL), (10, MAY)):
        shop.earn("anna", amount, expires_at=expires_at)
    shop.spend("anna", 15)
    spend = shop.last_entry("anna")
    shop.extend("anna", expiring_before=JUNE, expires_at=JUNE)
    shop.refund("anna", 7, spend)
    assert [(lot.amount, lot.remaining, lot.expires_at) for lot in shop.lots("anna")] == [
        (10, 2, APRIL),  # the lot that paid first gets the rest
        (10, 10, JUNE),
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "give lots or expiring_before, one of them"),
        ({"lots": ["01ARZ3NDEKTSV4RRFFQ69G5FAV"], "expiring_before": "2026-03-01T00:00:00Z"}, "one of them"),
        ({"lots": []}, "lots: "),
        ({"expiring_before": "2026-03-01T00:00:00Z"}, "give expires_at, days, months or never, one of them"),
        ({"expiring_before": "2026-03-01T00:00:00Z", "days": 1, "never": True}, "one of them"),
        ({"expiring_before": "2026-03-01T00:00:00Z", "days": 0}, "days: "),
    ],
)
def test_an_extension_requires_one_selection_and_one_expiry(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidCommand, match=message):
        command_from("extend-expiry", {"tenant_id": "s", "user_id": "a", "reason": "x", **fields})


def test_only_closed_accounts_refuse_expiry_changes() -> None:
    shop = three_lots()
    shop.account("anna").status = "suspended"
    assert data_of(shop.extend("anna", expiring_before=MAY, never=True))["lots_moved"] == 1
    shop.account("anna").status = "closed"
    assert reason_of(shop.extend("anna", expiring_before=JUNE, never=True)) == "ACCOUNT_CLOSED"
    assert reason_of(shop.exempt("anna")) == "ACCOUNT_CLOSED"
    assert reason_of(shop.exempt("unknown")) == "ACCOUNT_NOT_FOUND"


def test_a_command_that_changes_lots_reads_all_lots() -> None:
    shop = three_lots()
    shop.extend("anna", expiring_before=MAY, never=True)
    assert shop.last is not None
    need = shop.read_set(shop.last).accounts[SHOP, "anna"]
    assert (need.pending, need.debit, need.release) == (True, 10**15, 10**15)


# ----------------------------------------------------------------------------------------- exemptions


def test_e13_points_of_an_exempt_account_do_not_expire() -> None:
    shop = three_lots()
    data = data_of(shop.exempt("anna"))
    assert (data["expiry_exempt"], data["account"]["expiry_exempt"]) == (True, True)
    assert data_of(shop.expire_due("anna", JUNE))["points_expired"] == 0
    data_of(shop.spend("anna", 70))
    assert data_of(shop.expire("anna", 1))["settled"] == 0


def test_e13_points_of_an_exempt_account_expire_by_command() -> None:
    shop = three_lots()
    shop.exempt("anna")
    assert data_of(shop.expire("anna", 15))["settled"] == 15


def test_e13_after_an_exemption_points_expire_only_after_the_notice_period() -> None:
    shop = Shop(timezone="Europe/Berlin", expiry_notice_days=10)
    shop.earn("anna", 10, expires_at=APRIL)
    shop.exempt("anna")
    data = data_of(shop.exempt("anna", False, at=MAY + timedelta(hours=12)))
    over = moment("2026-05-10 22:00")  # midnight in Berlin
    assert (data["expiry_exempt"], data["expires_not_before"]) == (False, over)
    assert data_of(shop.expire_due("anna", over - INSTANT))["points_expired"] == 0
    assert data_of(shop.expire_due("anna", over))["points_expired"] == 10


def test_e13_lifting_a_missing_exemption_changes_nothing_and_a_new_exemption_ends_a_notice_period() -> None:
    shop = three_lots()
    shop.exempt("anna", False)
    assert shop.account("anna").expires_not_before is None
    shop.exempt("anna")
    shop.exempt("anna", False)
    over = shop.account("anna").expires_not_before
    shop.exempt("anna", False, at=NOON + DAY)
    assert shop.account("anna").expires_not_before == over
    shop.exempt("anna")
    assert shop.account("anna").expires_not_before is None


def test_an_exemption_starts_when_it_is_accepted() -> None:
    with pytest.raises(InvalidCommand, match="occurred_at does not apply"):
        command_from(
            "set-expiry-exemption",
            {"tenant_id": "s", "user_id": "a", "exempt": True, "reason": "x",
             "occurred_at": "2026-03-01T00:00:00Z"},
        )  # fmt: skip


def test_e13_refunds_and_releases_on_an_exempt_account_need_no_grace() -> None:
    shop = Shop(refund_grace_days=0, hold_grace_days=0)
    shop.earn("anna", 10, expires_at=APRIL)
    shop.earn("anna", 10, expires_at=APRIL)
    shop.spend("anna", 10)
    spend = shop.last_entry("anna")
    hold = shop.hold("anna", 10)
    shop.exempt("anna")
    shop.refund("anna", 10, spend, at=MAY)
    shop.unfreeze("anna", hold_id=hold.id)
    assert lot_expiries(shop) == [(10, APRIL), (10, APRIL)]


def test_e9_refunds_without_grace_are_kept_while_expiry_is_off() -> None:
    shop = Shop(expire_enabled=False, refund_grace_days=0)
    shop.earn("anna", 10, expires_at=APRIL)
    shop.earn("anna", 5, expires_at=APRIL)
    shop.spend("anna", 10)
    shop.refund("anna", 10, shop.last_entry("anna"), at=MAY)
    assert shop.balance("anna") == 15


# ------------------------------------------------------------------------------- switching expiry on


def test_e8_switching_expiry_on_starts_a_notice_period() -> None:
    off = tenant_from({"tenant_id": SHOP, "timezone": "Europe/Berlin", "expire_enabled": False})
    on = tenant_from({"tenant_id": SHOP, "timezone": "Europe/Berlin", "expiry_notice_days": 7})
    over = moment("2026-03-07 23:00")
    assert on.following(None, NOON) == on, "a new tenant has no lots"
    assert on.following(off, NOON).expires_not_before == over
    assert on.following(on.following(off, NOON), NOON + DAY).expires_not_before == over, (
        "once given, it stays"
    )
    assert off.following(on, NOON) == off
    later = on.model_copy(update={"expires_not_before": JUNE})
    assert later.following(off, NOON).expires_not_before == JUNE, (
        "a notice period can be extended, not shortened"
    )
    sooner = on.model_copy(update={"expires_not_before": NOON})
    assert sooner.following(off, NOON).expires_not_before == over


def test_e8_due_points_expire_only_after_the_notice_period() -> None:
    shop = Shop(expires_not_before="2026-05-01T00:00:00Z")
    shop.earn("anna", 10, expires_at=APRIL)
    shop.earn("anna", 20, expires_at=MAY + DAY)
    assert data_of(shop.expire_due("anna", MAY - INSTANT))["points_expired"] == 0
    data_of(shop.spend("anna", 4))
    assert data_of(shop.expire_due("anna", MAY))["points_expired"] == 6
    assert data_of(shop.expire_due("anna", MAY + DAY))["points_expired"] == 20
