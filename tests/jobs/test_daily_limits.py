"""The nightly reset records the windows that ended, and prunes usage that no command can use."""

from datetime import UTC, datetime, timedelta

from pointledger import ApplyRule, Earn
from pointledger.jobs.scheduler import RESET_DAILY_LIMITS, JobScheduler
from tests.jobs.runs import LONG_AGO, last_run
from tests.ledger import Ledger


def test_the_reset_writes_one_closed_window_per_tenant_and_day(
    ledger: Ledger, scheduler: JobScheduler
) -> None:
    ledger.rule(name="basket", event_type="basket.paid", points=10, daily_limit=25)
    today = last_run(ledger, RESET_DAILY_LIMITS, days_ago=1)
    yesterday_noon = datetime.combine(today, datetime.min.time(), UTC) - timedelta(hours=7)
    for user in ("anna", "anna", "anna", "ben"):
        ledger.apply(
            ApplyRule(tenant_id="shop", user_id=user, event_type="basket.paid", occurred_at=yesterday_noon)
        )
    assert scheduler.open_runs(RESET_DAILY_LIMITS) == 1
    assert scheduler.reset_daily_limits() is True
    assert scheduler.reset_daily_limits() is False

    closed = ledger.rows("SELECT local_date, users, points FROM closed_windows")
    assert closed == [(today - timedelta(days=1), 2, 35)]


def test_the_reset_records_shared_limits_and_prunes_usage_that_no_command_can_use(
    ledger: Ledger, scheduler: JobScheduler
) -> None:
    limits = [{"scope": "tenant", "period": period, "max": 25} for period in ("day", "month", "lifetime")]
    ledger.rule(name="basket", event_type="basket.paid", points=10, limits=limits)
    today = last_run(ledger, RESET_DAILY_LIMITS, days_ago=1)
    yesterday_noon = datetime.combine(today, datetime.min.time(), UTC) - timedelta(hours=7)
    for user, happened in (("anna", yesterday_noon), ("ben", yesterday_noon), ("anna", LONG_AGO)):
        ledger.apply(
            ApplyRule(tenant_id="shop", user_id=user, event_type="basket.paid", occurred_at=happened)
        )
    ledger.tenant(timezone="America/New_York", backdating_days=40)
    scheduler.open_runs(RESET_DAILY_LIMITS)
    assert scheduler.reset_daily_limits() is True

    assert ledger.rows("SELECT shared FROM closed_windows") == [
        ([{"meter": "budget", "points": 20, "times": 2}],)
    ]
    kept = ledger.rows("SELECT period, points FROM shared_usage ORDER BY period")
    assert [tuple(row) for row in kept] == [("day", 20), ("lifetime", 25), ("month", 20)]


def test_l5_a_reset_that_never_runs_or_runs_twice_changes_no_limit(
    ledger: Ledger, scheduler: JobScheduler
) -> None:
    ledger.rule(name="basket", event_type="basket.paid", points=10, daily_limit=15)

    def basket(at: datetime) -> int:
        (outcome,) = ledger.apply(
            ApplyRule(tenant_id="shop", user_id="anna", event_type="basket.paid", occurred_at=at)
        )
        assert outcome.data is not None
        return int(outcome.data["points_earned"])

    day = datetime(2020, 5, 4, 16, 0, tzinfo=UTC)
    assert [basket(day), basket(day), basket(day + timedelta(days=1))] == [10, 5, 10]
    last_run(ledger, RESET_DAILY_LIMITS, days_ago=2)
    for _ in range(2):
        scheduler.open_runs(RESET_DAILY_LIMITS)
        while scheduler.reset_daily_limits():
            pass
    assert [basket(day), basket(day + timedelta(days=1))] == [0, 5]


def test_usage_of_an_ended_week_or_month_is_pruned_and_lifetime_usage_is_kept(
    ledger: Ledger, scheduler: JobScheduler
) -> None:
    limits = [{"period": period, "max": 15} for period in ("week", "month", "lifetime")]
    ledger.rule(name="basket", event_type="basket.paid", points=10, limits=limits)
    for happened in (datetime(2020, 5, 4, 16, 0, tzinfo=UTC), None):
        basket = ApplyRule(tenant_id="shop", user_id="anna", event_type="basket.paid", occurred_at=happened)
        ledger.apply(basket)
    ledger.tenant(timezone="America/New_York", backdating_days=30)
    last_run(ledger, RESET_DAILY_LIMITS, days_ago=1)
    scheduler.open_runs(RESET_DAILY_LIMITS)
    scheduler.reset_daily_limits()
    kept = ledger.rows("SELECT period, points FROM usage ORDER BY period")
    assert [tuple(row) for row in kept] == [("lifetime", 15), ("month", 5), ("week", 5)]


def test_usage_of_a_day_that_no_command_can_use_is_pruned(ledger: Ledger, scheduler: JobScheduler) -> None:
    ledger.rule(name="basket", event_type="basket.paid", points=10, daily_limit=15)
    old = datetime(2020, 5, 4, 16, 0, tzinfo=UTC)
    ledger.apply(ApplyRule(tenant_id="shop", user_id="anna", event_type="basket.paid", occurred_at=old))
    ledger.tenant(timezone="America/New_York", backdating_days=30)
    last_run(ledger, RESET_DAILY_LIMITS, days_ago=1)
    scheduler.open_runs(RESET_DAILY_LIMITS)
    scheduler.reset_daily_limits()
    assert ledger.counts("usage") == [0]


def test_usage_is_kept_while_a_command_of_that_day_is_pending(
    ledger: Ledger, scheduler: JobScheduler
) -> None:
    ledger.tenant(timezone="America/New_York", max_earn_per_day=100, backdating_days=0)
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=100))
    ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=50))  # stays pending
    last_run(ledger, RESET_DAILY_LIMITS, days_ago=1)
    scheduler.open_runs(RESET_DAILY_LIMITS)
    with ledger.database.begin() as connection:  # as if the night were a week later
        connection.exec_driver_sql(
            "UPDATE job_runs SET local_date = local_date + 7 WHERE finished_at IS NULL"
        )
    assert scheduler.reset_daily_limits() is True

    ledger.drain()

    assert ledger.balance("anna") == 100
