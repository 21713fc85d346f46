"""Checks that people ask for: one at a time per tenant, piece by piece, with progress and a result."""

from typing import Any

import pytest

from pointledger import Actor, Earn, Spend
from pointledger.client.queries.console import ConsoleQueries
from pointledger.errors import InvalidCommand, TenantMissing
from pointledger.jobs.verifying import TenantChecks
from pointledger.storage.queue import verify_runs
from tests.ledger import Ledger

EVA = Actor("person:eva", "the month closes")


@pytest.fixture
def console(ledger: Ledger) -> ConsoleQueries:
    return ConsoleQueries(ledger.database)


def live(ledger: Ledger, tenant_id: str = "shop") -> None:
    users: list[dict[str, Any]] = [
        {"tenant_id": tenant_id, "user_id": user} for user in ("anna", "ben", "cleo")
    ]
    ledger.apply(*(Earn(**user, amount=9) for user in users), *(Spend(**user, amount=2) for user in users))


def finish(ledger: Ledger, seconds: float = 60.0) -> int:
    """Go on until no check waits, and return the number of pieces."""
    checks, pieces = TenantChecks(ledger.database), 0
    while checks.go_on(seconds):
        pieces += 1
    return pieces


def corrupt(ledger: Ledger, sql: str) -> None:
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql(sql)


def test_a_check_waits_runs_and_is_recorded(ledger: Ledger, console: ConsoleQueries) -> None:
    live(ledger)
    assert ledger.client.verify("shop", EVA) is True
    waiting = console.checks("shop").current
    assert waiting is not None
    assert (waiting.state, waiting.actor, waiting.reason, waiting.rows_known) == (
        "waiting", "person:eva", "the month closes", 0,
    )  # fmt: skip
    finish(ledger)
    found = console.checks("shop")
    assert found.current is None
    assert found.last is not None
    assert (found.last.id, found.last.state, found.last.violations) == (waiting.id, "sound", 0)
    assert (found.last.accounts, found.last.entries) == (3, 6)
    assert found.last.rows_done == found.last.rows_known > 0
    (record,) = console.audit_log("shop", kind="verify")
    assert (record["actor"], record["reason"]) == ("person:eva", "the month closes")


def test_one_check_of_a_tenant_runs_at_a_time(ledger: Ledger, console: ConsoleQueries) -> None:
    ledger.tenant("cafe")
    assert [ledger.client.verify(tenant, EVA) for tenant in ("shop", "shop", "cafe")] == [True, False, True]
    finish(ledger)
    assert ledger.client.verify("shop", EVA) is True
    assert len(console.past_checks("shop")) == 2
    assert len(console.audit_log("shop", kind="verify")) == 2


def test_the_pieces_of_a_check_find_the_same_as_one_piece(ledger: Ledger, console: ConsoleQueries) -> None:
    live(ledger)
    corrupt(ledger, "UPDATE accounts SET version = version + 1")
    for seconds in (60.0, 0.0):
        ledger.client.verify("shop", EVA)
        pieces = finish(ledger, seconds)
        assert (pieces > 5) is (seconds == 0.0)
    small, large = console.past_checks("shop")
    assert small.state == "broken"
    assert (small.findings, small.accounts, small.entries) == (large.findings, large.accounts, large.entries)
    assert [(found["id"], found["violations"]) for found in small.findings] == [("I3b", 3)]
    assert console.past_checks("shop", before=small.id) == [large]


def test_a_check_finds_nothing_of_other_tenants(ledger: Ledger, console: ConsoleQueries) -> None:
    for tenant in ("sho", "shop", "shopp"):
        ledger.tenant(tenant)
        live(ledger, tenant)
    corrupt(ledger, "UPDATE accounts SET version = version + 1 WHERE tenant_id <> 'shop'")
    ledger.client.verify("shop", EVA)
    ledger.client.verify("sho", EVA)
    finish(ledger)
    assert console.past_checks("shop")[0].state == "sound"
    assert (console.past_checks("sho")[0].violations, console.past_checks("sho")[0].accounts) == (3, 3)


def test_a_check_goes_on_after_its_worker_has_died(ledger: Ledger, console: ConsoleQueries) -> None:
    live(ledger)
    ledger.client.verify("shop", EVA)
    with ledger.database.begin() as connection:
        dead = verify_runs.take(connection)
    assert dead is not None
    assert TenantChecks(ledger.database).go_on() is False, "its lease lasts"
    let_leases_end(ledger)
    finish(ledger)
    assert console.past_checks("shop")[0].state == "sound"
    with ledger.database.begin() as connection:
        assert verify_runs.save(connection, dead, verify_runs.Progress(None, [], 0, 0, 0, 0, 9, [])) is False
    assert console.past_checks("shop")[0].violations == 0


def test_a_check_that_kills_its_workers_is_given_up(ledger: Ledger, console: ConsoleQueries) -> None:
    ledger.client.verify("shop", EVA)
    for _ in range(5):
        with ledger.database.begin() as connection:
            assert verify_runs.take(connection)
        let_leases_end(ledger)
    finish(ledger)
    (found,) = console.past_checks("shop")
    assert (found.state, found.error) == ("given up", "the same piece failed five times; see the log")
    assert ledger.client.verify("shop", EVA) is True


def let_leases_end(ledger: Ledger) -> None:
    with ledger.database.begin() as connection:
        connection.exec_driver_sql("UPDATE verify_runs SET leased_until = clock_timestamp() - interval '1 s'")


def test_an_unknown_tenant_and_a_malformed_cursor_are_refused(
    ledger: Ledger, console: ConsoleQueries
) -> None:
    with pytest.raises(TenantMissing):
        ledger.client.verify("nowhere", EVA)
    with pytest.raises(InvalidCommand, match="before: "):
        console.past_checks("shop", before="x")
