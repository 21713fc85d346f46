"""Accounts, now and as of past moments, and pages of entries while others write."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pointledger import (
    Adjust,
    ApplyRule,
    Clawback,
    ConfirmDeduction,
    Earn,
    Expire,
    Freeze,
    ImportOpeningBalance,
    OpeningLot,
    Refund,
    SetStatus,
    Spend,
    Transfer,
)
from pointledger.client.queries.results import iso
from pointledger.errors import AccountMissing, EntryMissing, InvalidCommand, TenantMissing
from pointledger.ids import new_id, parse_id, show_id
from tests.client.queries.conftest import clock
from tests.ledger import Ledger

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

UNKNOWN_THEN = {"status": None, "expiry_exempt": None}  # entries do not record them


def test_an_account_as_of_a_past_moment_is_as_recorded_by_then(ledger: Ledger) -> None:
    before_all = clock(ledger)
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=100))
    first = ledger.client.account("shop", "anna")
    after_first = clock(ledger)
    ledger.apply(
        Spend(tenant_id="shop", user_id="anna", amount=30, occurred_at=LONG_AGO),
        Earn(tenant_id="shop", user_id="ben", amount=1),
    )

    then = ledger.client.account("shop", "anna", after_first)

    of_then = UNKNOWN_THEN | {"as_of": iso(after_first)}
    assert then == first | of_then, "the time of recording decides, not the spend's own"
    with pytest.raises(AccountMissing, match="as of"):
        ledger.client.account("shop", "anna", before_all)
    with pytest.raises(AccountMissing):
        ledger.client.account("shop", "ben", after_first)


def test_an_account_as_of_now_has_the_accounts_totals(ledger: Ledger) -> None:
    ledger.rule(name="basket", event_type="basket.paid", points=7)
    ledger.apply(
        Earn(
            tenant_id="shop", user_id="anna", amount=100, occurred_at=LONG_AGO, expires_at=datetime.now(UTC)
        ),
        Earn(tenant_id="shop", user_id="anna", amount=50),
        Earn(tenant_id="shop", user_id="ben", amount=5),
        Spend(tenant_id="shop", user_id="anna", amount=20),
        Transfer(tenant_id="shop", user_id="anna", to_user_id="ben", amount=10),
        Transfer(tenant_id="shop", user_id="ben", to_user_id="anna", amount=3),
        Expire(tenant_id="shop", user_id="anna", amount=4),
        ApplyRule(tenant_id="shop", user_id="anna", event_type="basket.paid"),
    )
    carl: dict[str, Any] = {"tenant_id": "shop", "user_id": "carl"}
    ledger.apply(Earn(**carl, amount=30), Freeze(**carl, amount=12))
    hold, earned = (parse_id(entry["id"]) for entry in ledger.entries("carl"))
    ledger.apply(ConfirmDeduction(**carl, hold_id=hold, amount=5))
    spent = parse_id(next(e["id"] for e in ledger.entries("carl") if e["subtype"] == "capture"))
    ledger.apply(
        Refund(**carl, related_id=spent, amount=2),
        Refund(**carl, amount=1),
        Spend(**carl, amount=28),
        Clawback(**carl, related_id=earned, amount=6, policy="arrears"),
        Adjust(**carl, amount=9, reason="sorry"),
        Adjust(**carl, amount=-2, reason="too much"),
        ImportOpeningBalance(**carl, lots=(OpeningLot(amount=4),)),
        Earn(**carl, amount=8, activates_at=datetime.now(UTC) + timedelta(days=1)),
        SetStatus(**carl, status="closed", reason="gone"),
    )
    for user in ("anna", "ben", "carl"):
        now = ledger.client.account("shop", user)
        assert now["version"] > 1
        moment = clock(ledger)
        of_then = UNKNOWN_THEN | {"as_of": iso(moment)}
        assert ledger.client.account("shop", user, moment) == now | of_then


def test_an_account_without_entries_is_empty_as_of_any_moment_since_its_creation(ledger: Ledger) -> None:
    ledger.rule(name="nothing", event_type="basket.paid", points=0)
    ledger.apply(ApplyRule(tenant_id="shop", user_id="anna", event_type="basket.paid"))
    then = ledger.client.account("shop", "anna", clock(ledger))
    assert (then["version"], then["balance"], then["total_earned"]) == (0, 0, 0)


def test_pages_of_entries_have_a_cursor_and_the_total(ledger: Ledger) -> None:
    ledger.apply(*(Earn(tenant_id="shop", user_id="anna", amount=1) for _ in range(25)))
    pages, before = [], None
    while True:
        page = ledger.client.entries("shop", "anna", before=before, limit=10)
        pages.append([entry["seq"] for entry in page.entries])
        assert page.total == 25
        before = page.next_before
        if before is None:
            break
    assert pages == [list(range(25, 15, -1)), list(range(15, 5, -1)), list(range(5, 0, -1))]


def test_a_page_of_one_entry_type_has_the_total_of_all_types(ledger: Ledger) -> None:
    for _ in range(5):
        ledger.apply(
            Earn(tenant_id="shop", user_id="anna", amount=9),
            Spend(tenant_id="shop", user_id="anna", amount=1),
        )
    page = ledger.client.entries("shop", "anna", type="spend", limit=3)
    assert [(entry["seq"], entry["type"]) for entry in page.entries] == [(n, "spend") for n in (10, 8, 6)]
    assert page.total == 10
    rest = ledger.client.entries("shop", "anna", type="spend", limit=3, before=page.next_before)
    assert [entry["seq"] for entry in rest.entries] == [4, 2]
    assert rest.next_before is None


def test_q5_pages_during_writes_have_every_entry_once(ledger: Ledger) -> None:
    ledger.apply(*(Earn(tenant_id="shop", user_id="anna", amount=1) for _ in range(60)))
    stop, written = threading.Event(), []

    def write() -> None:
        while not stop.is_set():
            written.extend(ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=1)))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        page = ledger.client.entries("shop", "anna", limit=3)
        total, seen = page.total, [entry["seq"] for entry in page.entries]
        while page.next_before:
            page = ledger.client.entries("shop", "anna", before=page.next_before, limit=3)
            seen += [entry["seq"] for entry in page.entries]
    finally:
        stop.set()
        writer.join(30)
    assert seen == list(range(total, 0, -1))
    assert ledger.client.entries("shop", "anna").total == 60 + len(written)
    assert written, "the thread has written meanwhile"


def test_q4_entries_are_a_chain_without_gaps_in_order_of_their_moments(ledger: Ledger) -> None:
    amounts = (50, 30, 20)
    ledger.client.enqueue_many([Earn(tenant_id="shop", user_id="anna", amount=amount) for amount in amounts])
    ledger.drain()  # one batch has one moment
    ledger.apply(Freeze(tenant_id="shop", user_id="anna", amount=25))
    ledger.apply(
        Spend(tenant_id="shop", user_id="anna", amount=40),
        Adjust(tenant_id="shop", user_id="anna", amount=-5, reason="a mistake"),
    )

    entries = list(reversed(ledger.entries("anna")))

    assert [entry["seq"] for entry in entries] == [1, 2, 3, 4, 5, 6]
    after = [entry["balance_after"] for entry in entries]
    assert after == [50, 80, 100, 75, 35, 30]
    assert [entry["balance_before"] for entry in entries] == [0, *after[:-1]]
    moments = [entry["created_at"] for entry in entries]
    assert moments == sorted(moments)
    assert len(set(moments)) == 3, "entries of one batch have one moment and are ordered by seq"


def test_an_entry_is_found_by_its_id_in_its_tenant_only(ledger: Ledger) -> None:
    ledger.tenant("other")
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=5, reason="sorry"))
    (listed,) = ledger.client.entries("shop", "anna").entries
    assert ledger.client.entry("shop", listed["id"]) == listed
    assert listed["reason"] == "sorry"
    for tenant, entry_id in (("other", listed["id"]), ("shop", show_id(new_id()))):
        with pytest.raises(EntryMissing):
            ledger.client.entry(tenant, entry_id)
    with pytest.raises(InvalidCommand, match="entry_id"):
        ledger.client.entry("shop", "7")
    with pytest.raises(TenantMissing):
        ledger.client.entry("nowhere", listed["id"])


def test_queries_about_an_unknown_user_raise_account_missing(ledger: Ledger) -> None:
    client = ledger.client
    for query in (client.account, client.entries, client.expiring, client.value, client.user_statistics,
                client.export_user):  # fmt: skip
        with pytest.raises(AccountMissing, match="tenant shop") as missing:
            query("shop", "nobody")
        assert (missing.value.tenant_id, missing.value.user_id) == ("shop", "nobody")
        with pytest.raises(TenantMissing):
            query("nowhere", "anna")


def test_an_account_as_of_a_future_moment_is_as_of_now(ledger: Ledger) -> None:
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=5))
    assert ledger.client.account("shop", "anna", clock(ledger) + timedelta(days=1))["balance"] == 5
