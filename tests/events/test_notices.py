"""What no command brings about: points that expire soon, a day that has ended."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pointledger import Earn, Freeze, SetExpiryExemption, SetStatus, Spend
from pointledger.client.acceptor import Acceptance
from pointledger.jobs.reminders import TELL_EXPIRING, Notify
from pointledger.jobs.scheduler import RESET_DAILY_LIMITS, Sweep
from pointledger.settings import Settings
from pointledger.storage.events import reminders
from pointledger.storage.ledger import program
from tests.events.listener import Listener, relay_all
from tests.ledger import Ledger

Shop = dict[str, Any]

# The shop is where it is noon: whenever the tests run, its day has begun and does not end meanwhile.
NOON = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
ZONE = f"Etc/GMT{NOON.hour - 12:+d}"  # POSIX counts to the west
TODAY = (NOON + timedelta(hours=12 - NOON.hour)).date()


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    """The shop is there from its start: a zone that it changed to would count from tomorrow."""
    with Ledger(settings) as opened:
        opened.tenant(events=["points.expiring_soon", "limit.window_closed"], timezone=ZONE)
        yield opened


def in_days(days: float) -> datetime:
    """The shop's noon, so many days from today's."""
    return NOON + timedelta(days=days)


def tell(ledger: Ledger, days_later: int = 0) -> None:
    """What the run of that local date tells."""
    with ledger.database.begin() as connection:
        tenant = program.tenant(connection, "shop")
        reminders.tell_expiring(connection, tenant, TODAY + timedelta(days=days_later), "", 100)


def told(ledger: Ledger, listener: Listener) -> list[tuple[str, int, int, list[int]]]:
    """User, threshold, points in all, points per lot."""
    events = listener.listen(len(listener.heard) + relay_all(ledger.settings).events)
    listener.heard = []
    return [
        (
            event["subject"],
            event["data"]["threshold_days"],
            event["data"]["points"],
            [lot["points"] for lot in event["data"]["lots"]],
        )
        for event in events
    ]


def earn(ledger: Ledger, user: str, *lots: tuple[int, float]) -> None:
    ledger.apply(
        *(
            Earn(tenant_id="shop", user_id=user, amount=amount, expires_at=in_days(days))
            for amount, days in lots
        )
    )


def test_each_lot_is_told_of_once_per_threshold(ledger: Ledger, listener: Listener) -> None:
    earn(ledger, "anna", (5, 31), (7, 31.2), (100, 33))
    heard = {}
    for day in range(32):
        tell(ledger, day)
        if found := told(ledger, listener):
            heard[day] = [notice[1:] for notice in found]
    assert heard == {
        2: [(30, 12, [5, 7])],
        4: [(30, 100, [100])],
        25: [(7, 12, [5, 7])],
        27: [(7, 100, [100])],
        31: [(1, 12, [5, 7])],
    }


def test_what_is_frozen_spent_pending_or_has_no_end_is_not_told(
    ledger: Ledger, listener: Listener, shop: Shop
) -> None:
    earn(ledger, "anna", (10, 29))
    earn(ledger, "ben", (10, 29))
    earn(ledger, "carl", (10, 29))
    ledger.apply(
        Earn(tenant_id="shop", user_id="dora", amount=5),
        Earn(**shop, amount=5, activates_at=in_days(2), expires_at=in_days(29)),
        Freeze(**shop, amount=4),
        Spend(tenant_id="shop", user_id="ben", amount=10),
        SetStatus(tenant_id="shop", user_id="carl", status="closed", reason="gone"),
        Earn(tenant_id="shop", user_id="emil", amount=5, expires_at=in_days(29)),
        SetExpiryExemption(tenant_id="shop", user_id="emil", exempt=True, reason="a friend"),
    )
    tell(ledger)
    assert told(ledger, listener) == [("anna", 30, 6, [6])]


def test_telling_again_tells_nothing_new(ledger: Ledger, listener: Listener, shop: Shop) -> None:
    earn(ledger, "anna", (10, 6))
    tell(ledger)
    ledger.apply(Spend(**shop, amount=1))
    tell(ledger)
    assert told(ledger, listener) == [("anna", 7, 10, [10])]


def test_a_run_goes_page_after_page_and_once_a_day(
    ledger: Ledger, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pointledger.jobs.reminders._PAGE", 2)
    users = ["anna", "ben", "carl", "dora", "emil"]
    for user in users:
        earn(ledger, user, (10, 0.4 if user == "ben" else 29))  # this evening
    sweep = Sweep(ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings))
    notify = Notify(ledger.database)

    assert sweep.open_runs(TELL_EXPIRING, from_today=True) == 1, "the past is not told"
    assert sweep.open_runs(TELL_EXPIRING, from_today=True) == 0
    pages = 0
    while notify.tell_expiring():
        pages += 1

    assert pages == 3
    assert sorted(told(ledger, listener)) == [(user, 1 if user == "ben" else 30, 10, [10]) for user in users]
    assert ledger.rows("SELECT found, finished_at IS NOT NULL FROM job_runs") == [(5, True)]


def test_who_does_not_want_to_hear_of_it_hears_nothing(ledger: Ledger) -> None:
    earn(ledger, "anna", (10, 29))
    ledger.tenant(events=["points.spent"], timezone=ZONE)
    sweep = Sweep(ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings))
    sweep.open_runs(TELL_EXPIRING, from_today=True)
    assert Notify(ledger.database).tell_expiring() is True
    assert ledger.counts("outbox") == [0]


def test_a_notice_tells_what_is_left_and_its_place(ledger: Ledger, listener: Listener, shop: Shop) -> None:
    earn(ledger, "anna", (10, 29))
    ledger.apply(Spend(**shop, amount=3))
    tell(ledger)
    relay_all(ledger.settings)
    (event,) = listener.listen(1)
    assert (event["data"]["seq"], event["data"]["points"]) == (2, 7)


def test_the_end_of_a_tenants_day_is_told(ledger: Ledger, listener: Listener) -> None:
    yesterday = TODAY - timedelta(days=1)
    ledger.rule(name="visits", event_type="visit", points=5, daily_limit=9)
    with ledger.database.begin() as connection:
        connection.exec_driver_sql(
            """INSERT INTO job_runs (job, tenant_id, local_date, as_of, leased_until, finished_at)
               VALUES (%(job)s, 'shop', %(yesterday)s, now(), now(), now())""",
            {"job": RESET_DAILY_LIMITS, "yesterday": yesterday},
        )
        connection.exec_driver_sql(
            """INSERT INTO usage (tenant_id, user_id, meter, period, starts_on, points, times)
               SELECT 'shop', name, 'rule', 'day', %(yesterday)s, 9, 2
               FROM unnest(ARRAY['anna', 'ben']) AS name""",
            {"yesterday": yesterday},
        )
    sweep = Sweep(ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings))
    sweep.open_runs(RESET_DAILY_LIMITS)
    while sweep.reset_daily_limits():
        pass

    assert relay_all(ledger.settings).events == 1
    (event,) = listener.listen(1)
    assert (event["type"], event["source"]) == ("limit.window_closed", "/pointledger/shop")
    assert "subject" not in event
    assert event["data"] == {
        "tenant_id": "shop",
        "period": "day",
        "local_date": yesterday.isoformat(),
        "users": 2,
        "points": 18,
    }
