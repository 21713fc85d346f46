"""Events without a command: expiry reminders, and closed daily windows."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pointledger import Earn, Freeze, SetExpiryExemption, SetStatus, Spend
from pointledger.client.acceptor import Acceptance
from pointledger.jobs.reminders import SEND_EXPIRY_REMINDERS, ExpiryReminders
from pointledger.jobs.scheduler import RESET_DAILY_LIMITS, JobScheduler
from pointledger.settings import Settings
from pointledger.storage.events import reminders
from pointledger.storage.ledger import program
from tests.events.listener import Listener, relay_all
from tests.ledger import Ledger

Shop = dict[str, Any]

# It is noon in the shop's time zone, so its day does not change during a test.
NOON = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
ZONE = f"Etc/GMT{NOON.hour - 12:+d}"  # POSIX counts to the west
TODAY = (NOON + timedelta(hours=12 - NOON.hour)).date()


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    """The tenant has its time zone from the start, because a changed zone counts from tomorrow."""
    with Ledger(settings) as opened:
        opened.tenant(events=["points.expiring_soon", "limit.window_closed"], timezone=ZONE)
        yield opened


def in_days(days: float) -> datetime:
    """Return the shop's noon this many days after today's."""
    return NOON + timedelta(days=days)


def write_reminders(ledger: Ledger, days_later: int = 0) -> None:
    """Write the reminders of a local date's run."""
    with ledger.database.begin() as connection:
        tenant = program.tenant(connection, "shop")
        reminders.write_expiring(connection, tenant, TODAY + timedelta(days=days_later), "", 100)


def sent_reminders(ledger: Ledger, listener: Listener) -> list[tuple[str, int, int, list[int]]]:
    """Return user, threshold, all points and points per lot of each new reminder."""
    events = listener.listen(len(listener.events) + relay_all(ledger.settings).events)
    listener.events = []
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


def test_each_lot_has_one_reminder_per_threshold(ledger: Ledger, listener: Listener) -> None:
    earn(ledger, "anna", (5, 31), (7, 31.2), (100, 33))
    by_day = {}
    for day in range(32):
        write_reminders(ledger, day)
        if found := sent_reminders(ledger, listener):
            by_day[day] = [reminder[1:] for reminder in found]
    assert by_day == {
        2: [(30, 12, [5, 7])],
        4: [(30, 100, [100])],
        25: [(7, 12, [5, 7])],
        27: [(7, 100, [100])],
        31: [(1, 12, [5, 7])],
    }


def test_frozen_spent_pending_and_permanent_points_have_no_reminder(
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
    write_reminders(ledger)
    assert sent_reminders(ledger, listener) == [("anna", 30, 6, [6])]


def test_a_reminder_is_written_once(ledger: Ledger, listener: Listener, shop: Shop) -> None:
    earn(ledger, "anna", (10, 6))
    write_reminders(ledger)
    ledger.apply(Spend(**shop, amount=1))
    write_reminders(ledger)
    assert sent_reminders(ledger, listener) == [("anna", 7, 10, [10])]


def test_a_run_proceeds_page_by_page_and_once_a_day(
    ledger: Ledger, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pointledger.jobs.reminders._LOCKED", 2)
    users = ["anna", "ben", "carl", "dora", "emil"]
    for user in users:
        earn(ledger, user, (10, 0.4 if user == "ben" else 29))  # this evening
    scheduler = JobScheduler(ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings))
    reminders_job = ExpiryReminders(ledger.database)

    assert scheduler.open_runs(SEND_EXPIRY_REMINDERS, from_today=True) == 1, "no runs for the past"
    assert scheduler.open_runs(SEND_EXPIRY_REMINDERS, from_today=True) == 0
    pages = 0
    while reminders_job.send_expiring():
        pages += 1

    assert pages == 3
    assert sorted(sent_reminders(ledger, listener)) == [
        (user, 1 if user == "ben" else 30, 10, [10]) for user in users
    ]
    assert ledger.rows("SELECT found, finished_at IS NOT NULL FROM job_runs") == [(5, True)]


def test_a_tenant_that_does_not_want_reminders_gets_none(ledger: Ledger) -> None:
    earn(ledger, "anna", (10, 29))
    ledger.tenant(events=["points.spent"], timezone=ZONE)
    scheduler = JobScheduler(ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings))
    scheduler.open_runs(SEND_EXPIRY_REMINDERS, from_today=True)
    assert ExpiryReminders(ledger.database).send_expiring() is True
    assert ledger.counts("outbox") == [0]


def test_a_reminder_has_the_remaining_points_and_the_current_seq(
    ledger: Ledger, listener: Listener, shop: Shop
) -> None:
    earn(ledger, "anna", (10, 29))
    ledger.apply(Spend(**shop, amount=3))
    write_reminders(ledger)
    relay_all(ledger.settings)
    (event,) = listener.listen(1)
    assert (event["data"]["seq"], event["data"]["points"]) == (2, 7)


def test_the_end_of_a_tenants_day_is_an_event(ledger: Ledger, listener: Listener) -> None:
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
    scheduler = JobScheduler(ledger.database, Acceptance(ledger.database, ledger.doorbells, ledger.settings))
    scheduler.open_runs(RESET_DAILY_LIMITS)
    while scheduler.reset_daily_limits():
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


def test_a_run_looks_at_every_account_page_by_page(
    ledger: Ledger, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page ends after so many accounts, or after so many that are affected."""
    monkeypatch.setattr(reminders, "_ACCOUNTS", 3)
    affected = [f"user-{number:02}" for number in (0, 6, 7, 8, 11)]
    for number in range(13):
        user = f"user-{number:02}"
        earn(ledger, user, (number + 1, 6 if user in affected else 90))
    ends, page = [], reminders.RemindedPage("", 0, is_last=False)
    with ledger.database.begin() as connection:
        tenant = program.tenant(connection, "shop")
        while not page.is_last:
            page = reminders.write_expiring(connection, tenant, TODAY, page.reached, 2)
            ends.append(page)
    assert ends == [
        ("user-02", 1, False),
        ("user-05", 0, False),
        ("user-07", 2, False),
        ("user-10", 1, False),
        ("user-12", 1, True),
    ]
    assert [reminder[0] for reminder in sent_reminders(ledger, listener)] == affected
