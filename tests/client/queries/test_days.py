"""What was issued, redeemed and expired by day, and what is outstanding."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from pointledger import Adjust, ApplyRule, Earn, Freeze, Spend
from pointledger.client.queries.console import ConsoleQueries
from pointledger.client.queries.days import DayFigures
from pointledger.errors import InvalidCommand, TenantMissing
from pointledger.jobs.day_totals import DayTotals
from pointledger.storage.queries import day_totals
from tests.client.queries.conftest import clock
from tests.ledger import Ledger

SHOP: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}
NEW_YEAR = datetime(2017, 1, 1, 12, 0, tzinfo=UTC)


def sum_up(ledger: Ledger) -> None:
    totals = DayTotals(ledger.database, lag_seconds=0)
    totals.sum_up()
    totals.sum_up()


def live(ledger: Ledger) -> None:
    ledger.apply(
        Earn(**SHOP, amount=100),
        Earn(**SHOP, amount=30, occurred_at=NEW_YEAR),
        Spend(**SHOP, amount=7),
        Freeze(**SHOP, amount=5),
        Adjust(**SHOP, amount=3, reason="a gift"),
        Adjust(**SHOP, amount=-2, reason="a mistake"),
    )


@pytest.mark.parametrize("summed", ["nothing", "a part", "everything"])
def test_the_days_are_the_same_however_much_is_summed_up(
    ledger: Ledger, console: ConsoleQueries, summed: str
) -> None:
    if summed == "a part":
        ledger.apply(Earn(**SHOP, amount=1))
        sum_up(ledger)
    live(ledger)
    if summed == "everything":
        ledger.apply(Earn(**SHOP, amount=1))
        sum_up(ledger)
    if summed == "nothing":
        ledger.apply(Earn(**SHOP, amount=1))

    found = console.days("shop", days=3)

    today = clock(ledger).date()
    assert [day.day for day in found.days] == [today - timedelta(days=back) for back in (2, 1, 0)]
    assert found.days[2] == DayFigures(
        today, earned=131, spent=7, adjusted_in=3, adjusted_out=2, entries=7, outstanding=125
    )
    assert found.days[:2] == tuple(DayFigures(today - timedelta(days=back), outstanding=0) for back in (2, 1))
    assert (found.tenant_id, found.by, found.counted_to) == ("shop", "recorded", None)
    assert found.as_json()["days"][2]["day"] == today.isoformat()


def test_days_of_occurrence_show_imported_history_where_it_happened(
    ledger: Ledger, console: ConsoleQueries
) -> None:
    live(ledger)
    for _ in range(2):
        found = console.days("shop", days=2, until=date(2017, 1, 1), by="occurred")
        assert [(day.day, day.earned, day.outstanding) for day in found.days] == [
            (date(2016, 12, 31), 0, None),
            (date(2017, 1, 1), 30, None),
        ]
        sum_up(ledger)


def test_the_outstanding_of_a_past_day_leaves_out_what_came_later(
    ledger: Ledger, console: ConsoleQueries
) -> None:
    live(ledger)
    yesterday = clock(ledger).date() - timedelta(days=1)
    for _ in range(2):
        (day,) = console.days("shop", days=1, until=yesterday).days
        assert (day.outstanding, day.entries) == (0, 0)
        sum_up(ledger)


def test_what_is_outstanding_is_the_sum_of_the_accounts_and_has_a_value(
    ledger: Ledger, console: ConsoleQueries
) -> None:
    ledger.tenant(points_type="cash_equivalent", exchange_rate=100, currency="EUR")
    for _ in range(2):
        live(ledger)
        found = console.outstanding("shop")
        account = ledger.account("anna")
        assert (found.available, found.frozen) == (account["balance"], account["frozen_balance"])
        assert found.points == account["balance"] + account["frozen_balance"]
        sum_up(ledger)
    assert (found.points, found.value, found.currency, found.is_exchangeable) == (248, "2.48", "EUR", True)


def test_more_entries_than_are_counted_at_once_are_said(
    ledger: Ledger, console: ConsoleQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(ledger)
    monkeypatch.setattr(day_totals, "MOST_SINCE", 2)
    found = console.days("shop", days=1)
    assert found.counted_to is not None
    assert found.days[0].entries == 2
    assert console.outstanding("shop").points == 124, "the accounts are read instead"
    monkeypatch.undo()
    sum_up(ledger)
    assert console.days("shop", days=1).counted_to is None


def test_what_a_rule_granted_lately_is_counted_before_and_after_the_sums(
    ledger: Ledger, console: ConsoleQueries
) -> None:
    ledger.rule(name="basket", event_type="basket.paid", points=7)
    ledger.rule(name="visit", event_type="visit", points=2)
    for times in (1, 2):
        ledger.apply(
            ApplyRule(**SHOP, event_type="basket.paid"),
            ApplyRule(**SHOP, event_type="basket.paid"),
            Earn(**SHOP, amount=9),
        )
        granted = {line.rule.body.name: line for line in console.rules("shop")}
        assert (granted["basket"].times, granted["basket"].points) == (2 * times, 14 * times)
        assert (granted["visit"].times, granted["visit"].points) == (0, 0)
        sum_up(ledger)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"days": 0}, "days: must be 1 to 366, not 0"),
        ({"days": 367}, "days: must be 1 to 366, not 367"),
        (
            {"days": 90, "until": date(1900, 1, 9)},
            "until: must be from 1900-04-01 to today, .*, not 1900-01-09",
        ),
        ({"until": date(9999, 12, 31)}, "until: must be from 1900-04-01 to today, .*, not 9999-12-31"),
    ],
)
def test_an_impossible_span_is_refused(console: ConsoleQueries, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidCommand, match=message):
        console.days("shop", **given)


def test_a_tenant_without_entries_has_empty_days(ledger: Ledger, console: ConsoleQueries) -> None:
    found = console.days("shop")
    assert len(found.days) == 90
    assert {day.outstanding for day in found.days} == {0}
    assert console.outstanding("shop").points == 0
    with pytest.raises(TenantMissing):
        console.days("nowhere")
