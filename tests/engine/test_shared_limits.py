"""Limits that all users of a tenant share, with users in many lanes and several workers: never exceeded."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from pointledger import ApplyRule, Clawback
from pointledger.ids import parse_id
from pointledger.observability.verify import verify
from pointledger.settings import Settings
from tests import forked
from tests.engine import limit_workers
from tests.engine.many_workers import drain_with
from tests.ledger import Ledger, data_of
from tests.waiting import wait_until

USERS = [f"user-{number}" for number in range(30)]
PER_UNIT = {"kind": "per_unit", "field": "n", "per": 1, "points": 1}


def visit(user_id: str, n: int = 1, at: datetime | None = None) -> ApplyRule:
    metadata = {"n": n}
    return ApplyRule(tenant_id="shop", user_id=user_id, event_type="visit", metadata=metadata, occurred_at=at)


def granted_points(ledger: Ledger) -> int:
    return int(ledger.rows("SELECT coalesce(sum(amount), 0) FROM entries WHERE type = 'earn'")[0][0])


def counters(ledger: Ledger) -> list[tuple[Any, ...]]:
    found = ledger.rows("SELECT meter, period, points, times FROM shared_usage ORDER BY meter, period")
    return [tuple(row) for row in found]


def limited(ledger: Ledger, most: int, **more: Any) -> None:
    ledger.tenant()
    limits = [{"scope": "rule", "period": "lifetime", "max": most}]
    ledger.rule(name="visits", event_type="visit", base=PER_UNIT, limits=limits, **more)


@pytest.mark.parametrize("on_exceed", ["clamp", "refuse"])
def test_l8_l9_lanes_that_race_for_a_tenants_last_points_grant_exactly_the_limit(
    settings: Settings, on_exceed: str
) -> None:
    with Ledger(settings.model_copy(update={"batch_size": 5})) as ledger:
        ledger.tenant()
        for name, most in (("wide", 500), ("narrow", 250)):
            limits = [
                {"scope": "tenant", "period": "day", "max": most},
                {"scope": "rule", "period": "month", "unit": "times", "max": 290},
            ]
            ledger.rule(name=name, event_type="visit", base=PER_UNIT, limits=limits, on_exceed=on_exceed)
        noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
        ledger.client.enqueue_many(
            [visit(user, n, noon) for n in (1, 3, 7, 1, 1, 1, 1, 1, 1, 1) for user in USERS]
        )

        drain_with(ledger, 4)

        assert granted_points(ledger) == 500, "exactly the wider limit"
        used = {meter: (points, times) for meter, _, points, times in counters(ledger)}
        assert used.pop("budget")[0] == 500
        assert sum(points for points, _ in used.values()) == 500
        assert max(times for _, times in used.values()) <= 290
        assert verify(ledger.database).as_json()["violations"] == 0


def test_l9_shared_limits_also_count_times(settings: Settings) -> None:
    with Ledger(settings.model_copy(update={"batch_size": 3})) as ledger:
        ledger.tenant()
        limits = [{"scope": "rule", "period": "lifetime", "unit": "times", "max": 41}]
        ledger.rule(name="first ones", event_type="visit", base=PER_UNIT, limits=limits)
        ledger.client.enqueue_many([visit(user, 2) for _ in range(3) for user in USERS])
        drain_with(ledger, 4)
        assert (granted_points(ledger), [row[2:] for row in counters(ledger)]) == (82, [(82, 41)])


def change_counters_during(ledger: Ledger, change: str, drain: Callable[[], object]) -> None:
    """Lock the counters' rows until the drain waits for them, then change them and commit."""
    drained = threading.Thread(target=drain)
    with ledger.database.connect() as holder:
        holder.exec_driver_sql("SELECT FROM shared_usage FOR UPDATE")
        drained.start()
        wait_until(ledger.has_lock_waiter, "the drain waits for the row")
        holder.exec_driver_sql(change)
        holder.commit()
    drained.join(30)


@pytest.mark.parametrize(("meanwhile", "expected"), [(10, 50), (40, 50), (70, 20), (89, 1), (90, 0)], ids=str)
def test_a_batch_grants_only_what_concurrent_batches_left_of_a_limit(
    ledger: Ledger, meanwhile: int, expected: int
) -> None:
    limited(ledger, 100)
    ledger.apply(visit("anna", 10))
    task_id = ledger.client.enqueue(visit("ben", 50))
    (lane,) = ledger.waiting_lanes()

    change_counters_during(
        ledger,
        f"UPDATE shared_usage SET points = points + {meanwhile}",
        lambda: ledger.engine.drain(lane),
    )

    assert data_of(ledger.client.outcome(task_id))["points_earned"] == expected
    assert counters(ledger)[0][2] == 10 + meanwhile + expected
    assert ledger.counts("failures") == [0]


def test_batches_capped_by_a_used_up_limit_do_not_wait_for_each_other(ledger: Ledger) -> None:
    limited(ledger, 10)
    ledger.apply(visit("anna", 10))
    with ledger.database.connect() as holder:
        holder.exec_driver_sql("SELECT FROM shared_usage FOR SHARE")  # like a batch that counts nothing
        (outcome,) = ledger.apply(visit("ben", 5))
    grant = data_of(outcome)["grants"][0]
    assert (grant["wanted"], grant["granted"], grant["limited_by"]) == (5, 0, "rule/lifetime/points")


def test_a_rule_without_shared_limits_writes_no_counter(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.rule(name="visits", event_type="visit", base=PER_UNIT, daily_limit=5)
    ledger.apply(visit("anna", 3))
    assert ledger.counts("shared_usage") == [0]


def test_processes_that_share_a_limit_grant_it_once_even_if_one_crashes_before_its_commit(
    ledger: Ledger, granted: bool
) -> None:
    limited(ledger, 100)
    ledger.client.enqueue_many([visit(user, 7) for _ in range(2) for user in USERS])
    settings = ledger.settings.model_copy(update={"batch_size": 3})
    crashed = forked.run(partial(limit_workers.crash, settings, granted=granted))
    assert crashed == limit_workers.STATUS
    assert counters(ledger) == [], "its grants were rolled back"
    ledger.redis.flushdb()  # as if its locks had expired
    work = partial(limit_workers.work, settings, granted=granted)
    workers = [forked.start(partial(work, step=step)) for step in (1, -1)]
    assert list(map(forked.exit_code, workers)) == [0, 0]

    assert (granted_points(ledger), counters(ledger)[0][2]) == (100, 100)
    assert ledger.counts("pending", "failures") == [0, 0]
    assert verify(ledger.database).as_json()["violations"] == 0


def test_l11_points_clawed_back_on_the_same_day_free_the_limit(ledger: Ledger) -> None:
    ledger.tenant()
    limits = [{"scope": scope, "period": "day", "max": 30} for scope in ("rule", "tenant")]
    limits += [{"scope": "tenant", "period": "week", "max": 45}]
    ledger.rule(name="visits", event_type="visit", base=PER_UNIT, limits=limits)
    day = datetime(2026, 3, 4, 12, tzinfo=UTC)
    ledger.apply(visit("anna", 30, day))
    earned = parse_id(ledger.entries("anna")[0]["id"])
    anna: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna", "related_id": earned}

    ledger.apply(Clawback(**anna, amount=20, occurred_at=day + timedelta(hours=1)))
    (ben,) = ledger.apply(visit("ben", 30, day + timedelta(hours=2)))
    grant = data_of(ben)["grants"][0]
    assert (grant["granted"], grant["limited_by"]) == (15, "tenant/week/points")

    ledger.apply(Clawback(**anna, amount=10, occurred_at=day + timedelta(days=1)))  # too late
    used = {(meter == "budget", period): points for meter, period, points, _ in counters(ledger)}
    assert used == {(False, "day"): 25, (True, "day"): 25, (True, "week"): 45}
    assert verify(ledger.database).as_json()["violations"] == 0
