"""Every query shows due changes that are not recorded yet, as a command would find them."""

from collections.abc import Callable

import pytest

from pointledger.storage.queries import current
from tests.client.queries import due_scenarios
from tests.due import (
    LATER,
    NOW,
    TOO_MUCH,
    advance,
    ago,
    earn,
    figures,
    freeze,
    of_tenant,
    recorded,
    shown,
    spend,
)
from tests.ledger import Ledger, data_of


@pytest.fixture(autouse=True)
def money(ledger: Ledger) -> None:
    ledger.tenant(points_type="cash_equivalent", hold_grace_days=30)


@pytest.mark.parametrize("given", due_scenarios.SOMETHING_DUE)
def test_every_query_shows_at_once_what_the_next_command_records(
    ledger: Ledger, given: Callable[[Ledger], None]
) -> None:
    given(ledger)
    before, tables = recorded(ledger, "anna"), ledger.counts("entries", "journal", "pending", "lots")
    before_advance = shown(ledger, "anna"), of_tenant(ledger)
    account = ledger.client.account("shop", "anna")
    assert {name: account[f"recorded_{name}"] for name in before} == before
    assert figures(ledger, "anna") != before
    assert ledger.counts("entries", "journal", "pending", "lots") == tables

    advance(ledger, "anna")

    assert (shown(ledger, "anna"), of_tenant(ledger)) == before_advance
    now = ledger.client.account("shop", "anna")
    assert (
        {name: now[f"recorded_{name}"] for name in before}
        == recorded(ledger, "anna")
        == figures(ledger, "anna")
    )


def test_the_shown_balance_can_be_spent_and_no_more(ledger: Ledger) -> None:
    due_scenarios.all_at_different_moments(ledger)
    found = figures(ledger, "anna")
    assert found == {
        "balance": 10 + 9,
        "frozen_balance": 0,
        "pending_balance": 0,
        "debt": 0,
        "expired_points": 20 - 3 + 7 + 1,
    }
    refused, applied = ledger.apply(spend("anna", found["balance"] + 1), spend("anna", found["balance"]))
    assert (refused.reason, applied.state) == ("INSUFFICIENT_BALANCE", "applied")


def test_queries_show_current_and_recorded_figures(ledger: Ledger) -> None:
    due_scenarios.timed_out_after_its_lots_with_grace(ledger)
    client = ledger.client
    account, value = client.account("shop", "anna"), client.value("shop", "anna")
    assert (account["balance"], account["recorded_balance"]) == (15, 3)
    assert (account["frozen_balance"], account["recorded_frozen_balance"]) == (0, 12)
    assert (value.balance, value.recorded_balance, value.as_of) == (15, 3, value.as_of)
    assert NOW.isoformat() < account["as_of"] < value.as_of
    (hold,) = client.holds("shop", "anna").holds
    states = [
        (hold[f"{which}state"], hold[f"{which}held"], hold[f"{which}released"]) for which in ("", "recorded_")
    ]
    assert states == [("timed_out", 0, 12), ("open", 12, 0)]
    lots = client.hold("shop", hold["id"])["lots"]
    assert [(lot["held"], lot["recorded_held"]) for lot in lots] == [(0, 10), (0, 2)]
    assert [(lot["state"], lot["recorded_state"]) for lot in lots] == [
        ("expired", "active"),
        ("active", "active"),
    ]
    expiring = client.expiring("shop", "anna", 60)
    assert (expiring.points, expiring.recorded_points) == (15, 3)
    assert [(lot["points"], lot["id"] is None, lot["entry_id"] is None) for lot in expiring.lots] == [
        (5, False, False),
        (10, True, True),
    ]
    exported = client.export_user("shop", "anna")["lots"]
    assert sum(lot["remaining"] for lot in exported) == 15
    assert sum(lot["recorded_remaining"] + lot["recorded_frozen"] for lot in exported) == 15
    tenant = client.tenant_statistics("shop")
    assert (tenant["totals"]["balance"], tenant["recorded_totals"]["balance"]) == (15, 3)
    assert (tenant["outstanding"], tenant["recorded_outstanding"]) == (15, 15)
    assert client.entries("shop", "anna").total == account["version"] == 3, "entries are recorded"


def test_pending_points_of_a_rule_are_shown_as_of_now(ledger: Ledger) -> None:
    due_scenarios.activated(ledger)
    (rule,) = ledger.client.user_statistics("shop", "anna")["by_rule"]
    assert (rule["pending"], rule["recorded_pending"]) == (0, 15)


@pytest.mark.parametrize("given", due_scenarios.DUE_AND_KEPT)
def test_due_points_that_do_not_expire_are_shown_as_recorded(
    ledger: Ledger, given: Callable[[Ledger], None]
) -> None:
    given(ledger)
    assert figures(ledger, "anna") == recorded(ledger, "anna")
    assert figures(ledger, "anna")["balance"] == 16
    before = shown(ledger, "anna"), of_tenant(ledger)
    ledger.apply(spend("anna", TOO_MUCH))
    assert (shown(ledger, "anna"), of_tenant(ledger)) == before


def test_an_account_ahead_of_the_clock_is_shown_as_of_its_own_moment(ledger: Ledger) -> None:
    due_scenarios.ahead_of_now(ledger)
    (own,) = ledger.rows("SELECT as_of FROM accounts")[0]
    assert ledger.client.account("shop", "anna")["as_of"] == own.isoformat().replace("+00:00", "Z")


def test_the_tenants_figures_include_due_points_of_many_accounts(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current, "_CHUNK", 3)
    users = [f"u{number}" for number in range(10)]
    ledger.apply(
        *(earn(user, 5, expires_at=ago(1)) for user in users),
        *(earn(user, 7, activates_at=ago(1)) for user in users[:4]),
        *(earn(user, 11) for user in users),
        *(freeze(user, 2, expires_at=ago(2)) for user in users[5:]),
        earn("idle", 3),
    )
    before = of_tenant(ledger)
    assert before["totals"]["balance"] == 10 * 11 + 4 * 7 + 3
    assert before["totals"]["expired_points"] == 10 * 5
    advance(ledger, *users)
    assert of_tenant(ledger) == before
    found = ledger.client.tenant_statistics("shop")
    assert (found["totals"], found["outstanding"]) == (
        found["recorded_totals"],
        found["recorded_outstanding"],
    )


def test_a_timed_out_hold_is_not_on_a_page_of_open_holds(ledger: Ledger) -> None:
    outcomes = ledger.apply(
        earn("anna", 100), *(freeze("anna", n, expires_at=ago(1) if n % 2 else LATER) for n in range(1, 7))
    )
    ids = [data_of(outcome)["hold_id"] for outcome in outcomes[1:]]
    for state, expected in (("open", [6, 4, 2]), ("timed_out", [5, 3, 1]), ("released", [])):
        pages, before = [], None
        while True:
            page = ledger.client.holds("shop", "anna", state=state, before=before, limit=2)
            pages += [hold["amount"] for hold in page.holds]
            before = page.next_before
            if before is None:
                break
        assert pages == expected
    assert ledger.client.hold("shop", ids[0])["state"] == "timed_out"
