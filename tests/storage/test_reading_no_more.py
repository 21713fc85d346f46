"""However much there is, a look reads about what it gives: with a backlog a worker would otherwise sort all
of it for each batch, and a user's first page would take the longer the more he has done."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa

from pointledger import Earn
from pointledger.settings import Settings
from pointledger.storage.database import committing_each, limited_engine_for, looking, rows, transaction
from pointledger.storage.ledger import program
from pointledger.storage.queries import accounts, current, health
from pointledger.storage.queries.rows import PAGE
from pointledger.storage.queue import journal
from tests.due import LATER, earn, freeze
from tests.ledger import Ledger

WAITING = 4_000
BATCH = 50

Look = Callable[[sa.Connection], object]


def rows_read(connection: sa.Connection, table: str, look: Look) -> int:
    """How many rows of a table a look reads."""

    def until_now() -> int:
        query = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = %(table)s"
        return int(rows(connection, query, table=table)[0][0])

    before = until_now()
    look(connection)
    return until_now() - before


def read_of_the_journal(settings: Settings, look: Look) -> int:
    """As a worker's session would."""
    with transaction(limited_engine_for(settings), settings) as connection:
        return rows_read(connection, "journal", look)


def analyse(ledger: Ledger) -> None:
    """Tells the planner how it is now."""
    with committing_each(ledger.owner).connect() as connection:
        connection.exec_driver_sql("ANALYZE")


@pytest.mark.parametrize("analysed", ["never", "while nothing waited", "now"])
def test_a_look_at_a_lane_reads_a_batch_and_not_the_backlog(
    ledger: Ledger, settings: Settings, analysed: str
) -> None:
    if analysed == "while nothing waited":
        analyse(ledger)
    ledger.client.enqueue_many([Earn(tenant_id="shop", user_id="anna", amount=1) for _ in range(WAITING)])
    if analysed == "now":
        analyse(ledger)
    (lane,) = ledger.waiting_lanes()

    assert read_of_the_journal(settings, lambda c: journal.peek(c, lane, BATCH)) == BATCH
    assert read_of_the_journal(settings, health.lags) <= ledger.settings.lanes
    assert read_of_the_journal(settings, lambda c: journal.full_lanes(c, [lane], BATCH)) <= BATCH + 1


def of_a_user(connection: sa.Connection) -> object:
    return accounts.entries(connection, "shop", "anna")


def of_a_tenant(connection: sa.Connection) -> object:
    return accounts.entries_of_tenant(connection, "shop", None, PAGE, 0)


@pytest.mark.parametrize("analysed", [False, True])
def test_a_page_reads_its_entries_and_not_all_there_are(ledger: Ledger, analysed: bool) -> None:
    ledger.tenant()
    ledger.apply(*(Earn(tenant_id="shop", user_id="anna", amount=1) for _ in range(20 * PAGE)))
    if analysed:
        analyse(ledger)
    for look in (of_a_user, of_a_tenant):
        for table in ("entries", "journal"):
            with looking(ledger.database) as connection:
                assert rows_read(connection, table, look) == PAGE


@pytest.mark.parametrize("analysed", [False, True])
def test_an_account_reads_its_own_holds_and_not_everybodys(ledger: Ledger, analysed: bool) -> None:
    ledger.tenant()
    busy, soon = ("ben", "carl"), LATER - timedelta(days=1)
    ledger.apply(*(earn(user, 1000) for user in ("anna", *busy)))
    ledger.apply(*(freeze(user, 1, expires_at=soon) for user in busy for _ in range(200)))
    ledger.apply(*(freeze("anna", 1, expires_at=LATER) for _ in range(20)))
    if analysed:
        analyse(ledger)
    with looking(ledger.database) as connection:
        tenant = program.tenant(connection, "shop")
        assert rows_read(connection, "holds", lambda c: current.account(c, tenant, "anna")) == 20
