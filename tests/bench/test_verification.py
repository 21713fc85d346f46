"""Different work is detected on every side. And the conventional design does its work."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from redis import Redis

from pointledger.domain.program.rule import rule_from
from pointledger.domain.program.tenant import tenant_from
from pointledger.embedded import ServerUrls
from pointledger.settings import Settings
from pointledger.storage.database import engine_for
from pointledger.storage.ledger import program
from tests.bench import expiry, noop, transfer_load, workload
from tests.bench.celery_results import CeleryResults
from tests.bench.conventional import tables
from tests.bench.conventional.apply_rule import Command, apply_rule
from tests.bench.conventional.transfer import Transfer, transfer
from tests.bench.harness import DifferentWork
from tests.bench.history import BasketHistory, load, opening_rule
from tests.bench.ledger import BenchmarkLedger
from tests.bench.workload import OPENING_POINTS, TENANT, BasketEvent, verify
from tests.waiting import wait_until

NOTHING = 0, 0  # entries and points that a user had before


# ------------------------------------------------------------------------------ the conventional design


@pytest.fixture
def conventional(servers: ServerUrls) -> Iterator[sa.Engine]:
    """Yield a new database with the design's tables and a rule with a daily limit of 40 points."""
    name = f"conventional_{uuid4().hex[:8]}"
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    database = engine_for(f"{servers.database_url.rpartition('/')[0]}/{name}")
    rule = {"tenant_id": "shop", "event_type": "basket.paid", "field": "amount_minor", "per": 100}
    rule |= {"points": 1, "multiplier": "1.5", "daily_limit": 40, "expiry_days": 365}
    with database.begin() as connection:
        tables.metadata.create_all(connection)
        connection.execute(sa.insert(tables.rules), rule)
    yield database
    database.dispose()
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _command(event_id: str, amount_minor: int) -> Command:
    now = datetime(2026, 3, 1, 10, tzinfo=UTC)
    return Command(uuid4(), "shop", "anna", "basket.paid", event_id, now, {"amount_minor": amount_minor})


def _balances(database: sa.Engine) -> list[int]:
    with database.connect() as connection:
        return list(connection.scalars(sa.select(tables.accounts.c.balance)))


def test_the_conventional_design_applies_a_command_and_an_event_once(conventional: sa.Engine):
    rules, first = tables.Rules(), _command("basket-1", 1999)
    for command in (first, first, _command("basket-1", 1999)):
        with conventional.begin() as connection:
            apply_rule(connection, command, rules)

    assert _balances(conventional) == [28]
    with conventional.connect() as connection:
        verify(connection, ["anna"], [BasketEvent("basket-1", "anna", first.occurred_at, 1999)], NOTHING)
        for user, amount_minor, before in (
            ("anna", 2100, NOTHING),
            ("ben", 1999, NOTHING),
            ("anna", 1999, (1, 28)),
        ):
            with pytest.raises(DifferentWork):
                verify(
                    connection,
                    ["anna"],
                    [BasketEvent("basket-1", user, first.occurred_at, amount_minor)],
                    before,
                )


def test_the_conventional_design_enforces_the_daily_limit(conventional: sa.Engine):
    rules = tables.Rules()
    for number in range(3):
        with conventional.begin() as connection:
            apply_rule(connection, _command(f"basket-{number}", 1999), rules)

    assert _balances(conventional) == [40]


def _transfer(amount: int) -> Transfer:
    return Transfer(uuid4(), "shop", "anna", "ben", amount)


def test_the_conventional_design_transfers_points_with_their_lots_up_to_the_balance(
    conventional: sa.Engine,
):
    rules, granted = tables.Rules(), _command("basket-1", 1999)
    first = _transfer(20)
    with conventional.begin() as connection:
        apply_rule(connection, granted, rules)
    for command in (first, first, _transfer(9)):
        with conventional.begin() as connection:
            transfer(connection, command)

    with conventional.connect() as connection:
        held = sa.select(tables.lots.c.remaining, tables.lots.c.expires_at).order_by(tables.lots.c.remaining)
        assert connection.execute(sa.select(tables.accounts.c.balance)).scalars().all() == [8, 20]
        assert [lot.remaining for lot in connection.execute(held)] == [8, 20]
        assert len({lot.expires_at for lot in connection.execute(held)}) == 1
        states = connection.execute(sa.select(tables.outcomes.c.state)).scalars().all()
        assert sorted(states) == ["applied", "applied", "refused"]


# --------------------------------------------------------------------------------- different work


def test_missing_transfers_are_detected():
    user_ids, planned = ["anna", "ben"], transfer_load.PlannedTransfer("anna", "ben", 7)
    expected = transfer_load.expected_accounts(user_ids, [planned])

    assert expected["anna"] == (OPENING_POINTS - 7, 2)
    transfer_load.compare_accounts(expected, dict(expected))
    for different in (transfer_load.expected_accounts(user_ids, []), {"anna": expected["anna"]}):
        with pytest.raises(DifferentWork):
            transfer_load.compare_accounts(expected, different)


def test_a_task_without_its_result_is_detected(redis_url: str):
    sender = noop.app_for(redis_url, redis_url)
    sender.backend.store_result("first", 0, "SUCCESS")

    noop.verify(sender, ["first"])
    with pytest.raises(DifferentWork, match="task 1"):
        noop.verify(sender, ["first", "second"])
    sender.close()


def test_results_reach_the_callers_that_wait_for_them(redis_url: str):
    sender, worker = noop.app_for(redis_url, None), noop.app_for(redis_url, redis_url)
    with CeleryResults(sender, redis_url) as results, ThreadPoolExecutor(2) as callers:
        calls = [callers.submit(results.result_of, noop.TASK, (number,)) for number in range(2)]
        wait_until(lambda: Redis.from_url(redis_url).llen("noop") == 2, "both tasks are sent")
        with worker.connection_for_read() as connection, connection.SimpleQueue("noop") as queue:
            for _ in calls:
                message = queue.get(timeout=30)
                (number,), *_ = message.payload
                worker.backend.store_result(message.headers["id"], ValueError("busy"), "RETRY")
                worker.backend.store_result(message.headers["id"], number, "SUCCESS")
                message.ack()
        found = [call.result(60) for call in calls]

    assert [(each["status"], each["result"]) for each in found] == [("SUCCESS", 0), ("SUCCESS", 1)]
    sender.close()
    worker.close()


def test_events_without_end_have_ids_of_their_own():
    events = workload.EndlessEvents("event", workload.users(10))

    assert len({event.id for event in events.first(35)}) == 35
    assert [(event.user_id, event.points) for event in events.first(20)[10:]] == [
        (event.user_id, event.points) for event in events.first(10)
    ]


@pytest.fixture
def ledger(settings: Settings) -> Iterator[BenchmarkLedger]:
    """Yield a ledger with only a tenant and the rule of the history."""
    database = engine_for(settings.owner)
    with database.begin() as connection:
        program.put_tenant(connection, tenant_from({"tenant_id": TENANT}))
        opening = program.put_rule(connection, TENANT, rule_from(opening_rule()))
    yield BenchmarkLedger(settings.owner, settings, database, opening)
    database.dispose()


def _history(entries: int) -> BasketHistory:
    began_at = datetime(2025, 3, 1, tzinfo=UTC)
    return BasketHistory("history", 10, entries, 1000, began_at, timedelta(days=1), timedelta(days=365))


def test_a_copied_history_equals_an_applied_one(ledger: BenchmarkLedger):
    history, user_ids = _history(30), workload.users(10)
    load(ledger.database, history, ledger.opening, ledger.settings.lanes)

    assert history.per_user == (3, 45)
    ledger.verify(lambda connection: verify(connection, user_ids, [], history.per_user))


def test_the_last_of_ten_million_baskets_has_a_valid_time() -> None:
    began_at, span = datetime(2025, 3, 1, tzinfo=UTC), timedelta(days=1000)
    history = BasketHistory("history", 10, 10_000_000, 1000, began_at, span, span)
    assert timedelta() < began_at + span - history.paid_at(9_999_999) < timedelta(seconds=10)


def test_commands_that_were_not_applied_are_detected(ledger: BenchmarkLedger):
    history, user_ids = _history(30), workload.users(10)
    load(ledger.database, history, ledger.opening, ledger.settings.lanes)

    with pytest.raises(DifferentWork, match="31 commands, 30 outcomes"):
        ledger.verify(
            lambda connection: verify(
                connection,
                user_ids,
                [BasketEvent("x", user_ids[0], datetime.now(UTC), 100)],
                history.per_user,
            )
        )


def test_lots_that_did_not_expire_are_detected(ledger: BenchmarkLedger):
    history, user_ids = _history(10), workload.users(10)
    load(ledger.database, history, ledger.opening, ledger.settings.lanes)

    with pytest.raises(DifferentWork, match="expired"):
        ledger.verify(lambda connection: expiry.verify(connection, history, user_ids, []))


def test_a_ledger_that_fails_verification_has_no_figures(ledger: BenchmarkLedger):
    load(ledger.database, _history(10), ledger.opening, ledger.settings.lanes)
    with ledger.database.begin() as connection:
        connection.exec_driver_sql("UPDATE accounts SET balance = 99, total_earned = 99")

    with pytest.raises(DifferentWork, match="verify found"):
        ledger.verify(lambda _: None)
