"""Statistics of a user and of a tenant."""

from datetime import UTC, datetime

import pytest

from pointledger import ApplyRule, Earn, Spend
from pointledger.domain.program.calendar import zone
from pointledger.errors import DatabaseAway, QueryTimeout
from pointledger.storage import database
from tests.client.queries.conftest import clock
from tests.ledger import Ledger


def test_a_users_statistics_are_by_month_of_the_tenants_calendar_and_by_rule(ledger: Ledger) -> None:
    ledger.tenant("york", timezone="America/New_York")
    ledger.rule("york", name="basket", event_type="basket.paid", points=7)
    ledger.rule("york", name="welcome", event_type="joined", points=20)
    now = clock(ledger).astimezone(zone("America/New_York"))
    # 02:00 UTC on the first is still the month before in New York
    first_of_month = datetime(now.year, now.month, 1, 2, tzinfo=UTC)
    ledger.apply(
        ApplyRule(tenant_id="york", user_id="anna", event_type="joined", occurred_at=first_of_month),
        ApplyRule(tenant_id="york", user_id="anna", event_type="basket.paid"),
        ApplyRule(tenant_id="york", user_id="anna", event_type="basket.paid"),
        Spend(tenant_id="york", user_id="anna", amount=4),
        Earn(tenant_id="york", user_id="ben", amount=1000),
    )

    found = ledger.client.user_statistics("york", "anna")

    last_month = f"{now.year - (now.month == 1)}-{(now.month - 2) % 12 + 1:02}"
    figures = [(f["month"], f["type"], f["subtype"], f["entries"], f["points"]) for f in found["by_month"]]
    assert figures[:2] == [
        (f"{now:%Y-%m}", "earn", "rule", 2, 14),
        (f"{now:%Y-%m}", "spend", "purchase", 1, 4),
    ]
    assert figures[2:] == [(last_month, "earn", "rule", 1, 20)]
    assert [(rule["rule"], rule["entries"], rule["points"]) for rule in found["by_rule"]] == [
        ("welcome", 1, 20),
        ("basket", 2, 14),
    ]
    assert found["account"]["total_earned"] == 34
    assert [f["month"] for f in ledger.client.user_statistics("york", "anna", months=1)["by_month"]] == [
        f"{now:%Y-%m}"
    ] * 2


def test_a_tenants_statistics_are_the_sums_of_its_accounts_and_of_this_month(ledger: Ledger) -> None:
    ledger.rule(name="basket", event_type="basket.paid", points=7)
    ledger.tenant("other")
    ledger.apply(
        ApplyRule(tenant_id="shop", user_id="anna", event_type="basket.paid"),
        Earn(tenant_id="shop", user_id="ben", amount=50),
        Spend(tenant_id="shop", user_id="ben", amount=20),
        Earn(tenant_id="other", user_id="ben", amount=9),
    )
    with ledger.database.begin() as connection:
        connection.exec_driver_sql("UPDATE accounts SET status = 'suspended' WHERE user_id = 'anna'")

    found = ledger.client.tenant_statistics("shop")

    assert found["accounts"] == {"active": 1, "suspended": 1}
    assert (found["outstanding"], found["totals"]["total_earned"], found["totals"]["total_spent"]) == (
        37,
        57,
        20,
    )
    assert [(f["type"], f["subtype"], f["entries"], f["points"]) for f in found["this_month"]] == [
        ("earn", "manual", 1, 50),
        ("earn", "rule", 1, 7),
        ("spend", "purchase", 1, 20),
    ]
    assert [(rule["rule"], rule["points"]) for rule in found["by_rule"]] == [("basket", 7)]


def test_a_tenant_without_accounts_has_statistics(ledger: Ledger) -> None:
    found = ledger.client.tenant_statistics("shop")
    assert (found["accounts"], found["outstanding"], found["this_month"]) == ({}, 0, [])


def test_a_query_that_takes_too_long_is_canceled_with_a_remedy(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_QUERY_TIMEOUT_MS", 1)
    with pytest.raises(QueryTimeout, match="Narrow it"), database.read_only(ledger.database) as connection:
        connection.exec_driver_sql("SELECT pg_sleep(30)")


def test_a_query_can_change_nothing(ledger: Ledger) -> None:
    with pytest.raises(DatabaseAway, match="read-only"), database.read_only(ledger.database) as connection:
        connection.exec_driver_sql("DELETE FROM failures")
