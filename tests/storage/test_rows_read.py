"""Queries read about as many rows as they return, however large the tables are.

Otherwise a worker would sort the whole backlog for each batch, and a user's first page would get slower with
every entry.
"""

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa

from pointledger import Earn, Spend
from pointledger.settings import Settings
from pointledger.storage.database import autocommit_engine, limited_engine_for, read_only, rows, transaction
from pointledger.storage.ledger import program
from pointledger.storage.queries import accounts, current, health, members
from pointledger.storage.queries.rows import PAGE
from pointledger.storage.queue import pending
from pointledger.storage.queue.peek import peek
from tests.due import LATER, earn, freeze
from tests.ledger import Ledger

PENDING = 4_000
BATCH = 50
HALVINGS = 15  # of 1,500 entries: 11, the entry itself, and some room

Query = Callable[[sa.Connection], object]


def rows_read(connection: sa.Connection, table: str, query: Query) -> int:
    """Return how many rows of a table a query reads."""

    def until_now() -> int:
        counting = (
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = %(table)s"
        )
        return int(rows(connection, counting, table=table)[0][0])

    before = until_now()
    query(connection)
    return until_now() - before


def journal_rows_read(settings: Settings, query: Query) -> int:
    """Count in a session like a worker's."""
    with transaction(limited_engine_for(settings), settings) as connection:
        return rows_read(connection, "journal", query)


def analyze(ledger: Ledger) -> None:
    """Update the planner's statistics."""
    with autocommit_engine(ledger.owner).connect() as connection:
        connection.exec_driver_sql("ANALYZE")


@pytest.mark.parametrize("analyzed", ["never", "before the backlog", "now"])
def test_a_peek_at_a_lane_reads_a_batch_and_not_the_backlog(
    ledger: Ledger, settings: Settings, analyzed: str
) -> None:
    if analyzed == "before the backlog":
        analyze(ledger)
    ledger.client.enqueue_many([Earn(tenant_id="shop", user_id="anna", amount=1) for _ in range(PENDING)])
    if analyzed == "now":
        analyze(ledger)
    (lane,) = ledger.waiting_lanes()

    assert journal_rows_read(settings, lambda c: peek(c, {lane: BATCH})) == BATCH
    assert journal_rows_read(settings, health.lags) <= ledger.settings.lanes
    assert journal_rows_read(settings, lambda c: pending.full_lanes(c, [lane], BATCH)) <= BATCH + 1


def of_a_user(connection: sa.Connection) -> object:
    return accounts.entries(connection, "shop", "anna")


def of_a_common_type(connection: sa.Connection) -> object:
    return accounts.entries(connection, "shop", "anna", type="earn")


def of_a_tenant(connection: sa.Connection) -> object:
    return accounts.entries_of_tenant(connection, "shop", None, PAGE, 0)


def of_a_rare_type(connection: sa.Connection) -> object:
    return accounts.entries(connection, "shop", "anna", type="spend")


@pytest.mark.parametrize("analyzed", [False, True])
def test_a_page_reads_only_its_own_entries(ledger: Ledger, analyzed: bool) -> None:
    ledger.tenant()
    earns = [Earn(tenant_id="shop", user_id="anna", amount=1) for _ in range(20 * PAGE)]
    spends = [Spend(tenant_id="shop", user_id="anna", amount=1) for _ in range(3)]
    ledger.apply(*earns[:3], *spends, *earns[3:])
    if analyzed:
        analyze(ledger)
    for query, most in (
        (of_a_user, PAGE),
        (of_a_common_type, PAGE),
        (of_a_rare_type, 3),
        (of_a_tenant, PAGE),
    ):
        for table in ("entries", "journal"):
            with read_only(ledger.database) as connection:
                assert rows_read(connection, table, query) == most, (query, table)


@pytest.mark.parametrize("analyzed", [False, True])
def test_the_opening_of_a_statement_is_found_without_reading_what_came_since(
    ledger: Ledger, analyzed: bool
) -> None:
    ledger.tenant()
    for _ in range(3):
        ledger.apply(*(Earn(tenant_id="shop", user_id="anna", amount=1) for _ in range(5 * PAGE)))
    if analyzed:
        analyze(ledger)
    moment = ledger.rows("SELECT created_at FROM entries WHERE seq = 501")[0][0]

    def opening(connection: sa.Connection) -> None:
        assert members.figures_before(connection, "shop", "anna", moment).seq == 5 * PAGE

    with read_only(ledger.database) as connection:
        assert rows_read(connection, "entries", opening) < HALVINGS


@pytest.mark.parametrize("analyzed", [False, True])
def test_an_account_query_reads_only_the_accounts_own_holds(ledger: Ledger, analyzed: bool) -> None:
    ledger.tenant()
    busy, soon = ("ben", "carl"), LATER - timedelta(days=1)
    ledger.apply(*(earn(user, 1000) for user in ("anna", *busy)))
    ledger.apply(*(freeze(user, 1, expires_at=soon) for user in busy for _ in range(200)))
    ledger.apply(*(freeze("anna", 1, expires_at=LATER) for _ in range(20)))
    if analyzed:
        analyze(ledger)
    with read_only(ledger.database) as connection:
        tenant = program.tenant(connection, "shop")
        assert rows_read(connection, "holds", lambda c: current.account(c, tenant, "anna")) == 20
