"""Moving when points expire: extensions, exemptions, notices, changed policies. E7 to E9 and E13 are the
acceptance cases'."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from pointledger.domain.commands import ApplyExpiryPolicy, LotExpiry, command_from
from pointledger.domain.commands.outcomes import Decision
from pointledger.domain.ledger.lots import Lot
from pointledger.domain.program.policy_expiry import DatedLot, policy_expiry
from pointledger.domain.program.tenant import tenant_from
from pointledger.errors import InvalidCommand
from tests.domain.books import NOON, SHOP, Shop, data_of, moment, reason_of

APRIL, MAY, JUNE = moment("2026-04-01"), moment("2026-05-01"), moment("2026-06-01")
DAY, INSTANT = timedelta(days=1), timedelta(microseconds=1)


def three_lots() -> Shop:
    """Ten points until April, twenty until May, forty for ever."""
    shop = Shop()
    shop.earn("anna", 10, expires_at=APRIL)
    shop.earn("anna", 20, expires_at=MAY)
    shop.earn("anna", 40)
    return shop


def ends(shop: Shop) -> list[tuple[int, datetime | None]]:
    return [(lot.remaining, lot.expires_at) for lot in shop.lots("anna")]


# ----------------------------------------------------------------------------------------- extensions


def test_lots_that_expire_before_a_moment_live_longer_and_change_places() -> None:
    shop = three_lots()
    told = data_of(shop.extend("anna", expiring_before=MAY, expires_at=JUNE))
    assert (told["lots_moved"], told["points_moved"], told["lots_unchanged"]) == (1, 10, 0)
    assert told["lots"] == [
        {"lot_id": shop.lots("anna")[1].id, "expires_at_before": APRIL, "expires_at": JUNE}
    ]
    assert ends(shop) == [(20, MAY), (10, JUNE), (40, None)]
    assert shop.account("anna").next_expiry_at == MAY
    assert len(shop.entries("anna")) == 3, "no points moved, so there is no entry"
    shop.spend("anna", 25)
    assert ends(shop) == [(5, JUNE), (40, None)]


def test_each_move_is_on_record_between_two_entries() -> None:
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
def test_an_extension_is_to_a_moment_by_the_calendar_or_for_ever(
    until: dict[str, Any], expires_at: str | None
) -> None:
    shop = Shop()
    shop.earn("anna", 10, expires_at=APRIL)
    shop.extend("anna", expiring_before=MAY, **until)
    assert shop.lots("anna")[0].expires_at == (moment(expires_at) if expires_at else None)


def test_days_are_those_of_the_tenants_calendar() -> None:
    shop = Shop(timezone="Europe/Berlin")
    shop.earn("anna", 10, expires_at=moment("2026-03-27 23:00"))  # midnight there; clocks change on the 29th
    shop.extend("anna", expiring_before=MAY, days=2)
    assert shop.lots("anna")[0].expires_at == moment("2026-03-29 22:00")


def test_nothing_is_ever_made_to_expire_earlier() -> None:
    shop = three_lots()
    for until in (NOON, APRIL, APRIL + DAY):
        shop.extend("anna", lots=tuple(lot.id for lot in shop.lots("anna")), expires_at=until)
    assert ends(shop) == [(10, APRIL + DAY), (20, MAY), (40, None)]
    told = data_of(shop.extend("anna", lots=(shop.lots("anna")[2].id,), days=5))
    assert (told["lots_moved"], told["lots_unchanged"]) == (0, 1), "what never expires is not extended"


def test_lots_are_named_by_their_own_ids_or_by_their_entries() -> None:
    shop = three_lots()
    first, second, _ = shop.lots("anna")
    shop.extend("anna", lots=(first.entry_id, second.id, second.entry_id), days=1)
    assert [lot.expires_at for lot in shop.lots("anna")] == [APRIL + DAY, MAY + DAY, None]


def test_an_unknown_lot_or_one_with_nothing_left_is_not_found_and_nothing_moves() -> None:
    shop = three_lots()
    first, second, _ = shop.lots("anna")
    shop.spend("anna", 10)
    for gone in (UUID(int=7), first.id):
        assert reason_of(shop.extend("anna", lots=(second.id, gone), days=1)) == "RELATED_NOT_FOUND"
    assert ends(shop) == [(20, MAY), (40, None)]


def test_what_is_due_has_expired_before_it_could_be_extended() -> None:
    shop = three_lots()
    told = data_of(shop.extend("anna", expiring_before=MAY, expires_at=JUNE, at=APRIL))
    assert (told["lots_moved"], shop.balance("anna")) == (0, 60)


def test_pending_points_are_extended_too() -> None:
    shop = Shop()
    shop.earn("anna", 10, activates_at=APRIL, expires_at=MAY)
    assert data_of(shop.extend("anna", expiring_before=JUNE, expires_at=JUNE))["lots_moved"] == 1
    data_of(shop.spend("anna", 10, at=JUNE - INSTANT))


def test_h2_what_is_held_lives_on_with_its_lot_and_needs_no_grace() -> None:
    shop = Shop(hold_grace_days=0)
    shop.earn("anna", 10, expires_at=APRIL)
    hold = shop.hold("anna", 10)
    told = data_of(shop.extend("anna", expiring_before=MAY, expires_at=JUNE, at=APRIL + DAY))
    assert (told["lots_moved"], told["points_moved"]) == (1, 10)
    shop.unfreeze("anna", hold_id=hold.id)
    assert ends(shop) == [(10, JUNE)]
    assert shop.account("anna").next_expiry_at == JUNE


def test_points_that_are_given_away_take_the_expiry_of_that_moment_along() -> None:
    shop = Shop(transfer_enabled=True)
    shop.earn("ben", 1)
    shop.earn("anna", 10, expires_at=APRIL)
    shop.transfer("anna", "ben", 4)
    shop.extend("anna", expiring_before=MAY, expires_at=MAY)
    shop.transfer("anna", "ben", 4)
    assert [lot.expires_at for lot in shop.lots("ben")] == [APRIL, MAY, None]


def test_r2_a_refund_goes_by_the_order_in_which_lots_paid_then() -> None:
    shop = Shop()
    for amount, expires_at in ((10, APRIL), (10, MAY)):
        shop.earn("anna", amount, expires_at=expires_at)
    shop.spend("anna", 15)
    spend = shop.last_entry("anna")
    shop.extend("anna", expiring_before=JUNE, expires_at=JUNE)
    shop.refund("anna", 7, spend)
    assert [(lot.amount, lot.remaining, lot.expires_at) for lot in shop.lots("anna")] == [
        (10, 2, APRIL),  # the one that paid first gets what the other did not pay
        (10, 10, JUNE),
    ]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "give lots or expiring_before, one of them"),
        ({"lots": ["01ARZ3NDEKTSV4RRFFQ69G5FAV"], "expiring_before": "2026-03-01T00:00:00Z"}, "one of them"),
        ({"lots": []}, "lots: "),
        ({"expiring_before": "2026-03-01T00:00:00Z"}, "give expires_at, days, months or never, one of them"),
        ({"expiring_before": "2026-03-01T00:00:00Z", "days": 1, "never": True}, "one of them"),
        ({"expiring_before": "2026-03-01T00:00:00Z", "days": 0}, "days: "),
    ],
)
def test_an_extension_says_which_lots_and_until_when(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidCommand, match=told):
        command_from("extend-expiry", {"tenant_id": "s", "user_id": "a", "reason": "x", **fields})


def test_only_a_closed_account_keeps_its_lots_as_they_are() -> None:
    shop = three_lots()
    shop.account("anna").status = "suspended"
    assert data_of(shop.extend("anna", expiring_before=MAY, never=True))["lots_moved"] == 1
    shop.account("anna").status = "closed"
    assert reason_of(shop.extend("anna", expiring_before=JUNE, never=True)) == "ACCOUNT_CLOSED"
    assert reason_of(shop.exempt("anna")) == "ACCOUNT_CLOSED"
    assert reason_of(shop.exempt("nobody")) == "ACCOUNT_NOT_FOUND"


def test_a_command_that_moves_lots_needs_them_all() -> None:
    shop = three_lots()
    shop.extend("anna", expiring_before=MAY, never=True)
    assert shop.last is not None
    need = shop.needs(shop.last).accounts[SHOP, "anna"]
    assert (need.pending, need.debit, need.release) == (True, 10**15, 10**15)


# ----------------------------------------------------------------------------------------- exemptions


def test_e13_from_an_exempt_account_time_takes_nothing_and_it_says_so() -> None:
    shop = three_lots()
    told = data_of(shop.exempt("anna"))
    assert (told["expiry_exempt"], told["account"]["expiry_exempt"]) == (True, True)
    assert data_of(shop.expire_due("anna", JUNE))["points_expired"] == 0
    data_of(shop.spend("anna", 70))
    assert data_of(shop.expire("anna", 1))["settled"] == 0


def test_e13_by_hand_its_points_expire_all_the_same() -> None:
    shop = three_lots()
    shop.exempt("anna")
    assert data_of(shop.expire("anna", 15))["settled"] == 15


def test_e13_when_the_exemption_is_lifted_nothing_expires_before_the_notice_is_over() -> None:
    shop = Shop(timezone="Europe/Berlin", expiry_notice_days=10)
    shop.earn("anna", 10, expires_at=APRIL)
    shop.exempt("anna")
    told = data_of(shop.exempt("anna", False, at=MAY + timedelta(hours=12)))
    over = moment("2026-05-10 22:00")  # midnight in Berlin
    assert (told["expiry_exempt"], told["expires_not_before"]) == (False, over)
    assert data_of(shop.expire_due("anna", over - INSTANT))["points_expired"] == 0
    assert data_of(shop.expire_due("anna", over))["points_expired"] == 10


def test_e13_lifting_what_is_not_there_changes_nothing_and_a_new_exemption_ends_a_notice() -> None:
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


def test_an_exemption_counts_from_when_it_is_accepted() -> None:
    with pytest.raises(InvalidCommand, match="occurred_at does not apply"):
        command_from(
            "set-expiry-exemption",
            {"tenant_id": "s", "user_id": "a", "exempt": True, "reason": "x",
             "occurred_at": "2026-03-01T00:00:00Z"},
        )  # fmt: skip


def test_e13_on_an_exempt_account_a_refund_and_a_release_need_no_grace() -> None:
    shop = Shop(refund_grace_days=0, hold_grace_days=0)
    shop.earn("anna", 10, expires_at=APRIL)
    shop.earn("anna", 10, expires_at=APRIL)
    shop.spend("anna", 10)
    spend = shop.last_entry("anna")
    hold = shop.hold("anna", 10)
    shop.exempt("anna")
    shop.refund("anna", 10, spend, at=MAY)
    shop.unfreeze("anna", hold_id=hold.id)
    assert ends(shop) == [(10, APRIL), (10, APRIL)]


def test_e9_where_expiry_is_off_what_is_refunded_without_grace_is_kept() -> None:
    shop = Shop(expire_enabled=False, refund_grace_days=0)
    shop.earn("anna", 10, expires_at=APRIL)
    shop.earn("anna", 5, expires_at=APRIL)
    shop.spend("anna", 10)
    shop.refund("anna", 10, shop.last_entry("anna"), at=MAY)
    assert shop.balance("anna") == 15


# ------------------------------------------------------------------------------- switching expiry on


def test_e8_a_tenant_that_switches_expiry_on_gives_notice_first() -> None:
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
    assert later.following(off, NOON).expires_not_before == JUNE, "more time may be given, not less"
    sooner = on.model_copy(update={"expires_not_before": NOON})
    assert sooner.following(off, NOON).expires_not_before == over


def test_e8_nothing_expires_before_the_notice_is_over_and_all_that_is_due_then() -> None:
    shop = Shop(expires_not_before="2026-05-01T00:00:00Z")
    shop.earn("anna", 10, expires_at=APRIL)
    shop.earn("anna", 20, expires_at=MAY + DAY)
    assert data_of(shop.expire_due("anna", MAY - INSTANT))["points_expired"] == 0
    data_of(shop.spend("anna", 4))
    assert data_of(shop.expire_due("anna", MAY))["points_expired"] == 6
    assert data_of(shop.expire_due("anna", MAY + DAY))["points_expired"] == 20


# ------------------------------------------------------------------------------------ changed policies


def applied_policy(shop: Shop, *moves: tuple[Lot, int, datetime | None], at: datetime = NOON) -> Decision:
    lots = tuple(LotExpiry(lot_id=lot.id, changes=nth, expires_at=end) for lot, nth, end in moves)
    return shop.apply(ApplyExpiryPolicy(tenant_id=SHOP, user_id="anna", lots=lots), at)


def test_e7_a_changed_policy_leaves_lots_as_they_are() -> None:
    shop = Shop(default_expiry_days=365)
    shop.earn("anna", 10)
    shop.configure(default_expiry_days=180)
    shop.earn("anna", 20)
    assert ends(shop) == [(20, NOON + timedelta(days=180)), (10, NOON + timedelta(days=365))]


def test_e7_a_policy_that_is_applied_moves_lots_either_way_but_never_into_the_same_day() -> None:
    shop = three_lots()
    april, may, forever = shop.lots("anna")
    midnight = moment("2026-03-02")
    data = data_of(
        applied_policy(shop, (april, 0, JUNE), (may, 0, midnight), (forever, 0, midnight - INSTANT))
    )
    assert (data["lots_moved"], data["lots_unchanged"]) == (2, 1)
    assert ends(shop) == [(20, midnight), (10, JUNE), (40, None)]
    assert shop.account("anna").next_expiry_at == midnight
    assert {change.cause for change in shop.book.expiry_changes} == {"policy"}


def test_e7_a_lot_that_was_moved_meanwhile_is_left() -> None:
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
        ("2027-03-01 12:00", "2026-08-28 12:00"),  # 365 days before, 180 now: beyond the notice
        ("2026-04-10", "2026-08-28 12:00"),  # it lives longer now
        (None, "2026-08-28 12:00"),
        ("2026-08-28 12:00", "2026-08-28 12:00"),
    ],
)
def test_e7_what_todays_policy_says_of_a_lot_counts_from_when_it_was_earned(
    was: str | None, becomes: str
) -> None:
    shop = Shop(default_expiry_days=180)
    lot = dated(moment(was) if was else None)
    found = policy_expiry(shop.tenant, shop.book.rules_of(shop.tenant), lot, moment("2026-06-01"))
    assert found == moment(becomes)


@pytest.mark.parametrize(
    ("was", "becomes"), [("2027-03-01", "2026-06-01"), ("2026-04-10", "2026-04-10"), (None, "2026-06-01")]
)
def test_e7_a_lot_that_would_be_gone_lives_until_the_notice_ends_or_as_long_as_it_had(
    was: str | None, becomes: str
) -> None:
    shop = Shop(default_expiry_days=1)
    lot = dated(moment(was) if was else None)
    found = policy_expiry(shop.tenant, shop.book.rules_of(shop.tenant), lot, JUNE)
    assert found == moment(becomes)


def test_e7_a_rules_own_policy_goes_first_and_counts_from_when_the_points_became_available() -> None:
    shop = Shop(default_expiry_days=180)
    first = shop.rule(name="a", points=1, pending_days=10, expiry_days=300)
    shop.rule(name="a", points=1, expiry_days=90)
    lot = dated(moment("2027-03-01"), (first.id, 1))
    rules = shop.book.rules_of(shop.tenant)
    assert policy_expiry(shop.tenant, rules, lot, APRIL) == NOON + timedelta(days=100)
    waited = dated(moment("2027-03-01"), activates_at=NOON + DAY)
    assert policy_expiry(shop.tenant, rules, waited, APRIL) == NOON + timedelta(days=181)
