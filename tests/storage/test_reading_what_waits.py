"""However much waits in a lane, a look at its next commands reads no more than it gives: with a backlog a
worker would otherwise sort all of it for each batch."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from pointledger import Earn
from pointledger.settings import Settings
from pointledger.storage import health, journal
from pointledger.storage.database import limited_engine_for, rows, transaction
from tests.ledger import Ledger

WAITING = 4_000
BATCH = 50


def read_of_the_journal(settings: Settings, look: Callable[[sa.Connection], object]) -> int:
    """How many rows of the journal a look reads, as a worker's session would."""
    with transaction(limited_engine_for(settings), settings) as connection:
        look(connection)
        (read,) = rows(
            connection,
            """SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables
               WHERE relname = 'journal'""",
        )[0]
        return int(read)


@pytest.mark.parametrize("analysed", ["never", "while nothing waited", "now"])
def test_a_look_at_a_lane_reads_a_batch_and_not_the_backlog(
    ledger: Ledger, settings: Settings, analysed: str
) -> None:
    def analyse() -> None:
        with ledger.owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE")

    if analysed == "while nothing waited":
        analyse()
    ledger.client.enqueue_many([Earn(tenant_id="shop", user_id="anna", amount=1) for _ in range(WAITING)])
    if analysed == "now":
        analyse()
    (lane,) = ledger.waiting_lanes()

    assert read_of_the_journal(settings, lambda c: journal.peek(c, lane, BATCH)) == BATCH
    assert read_of_the_journal(settings, health.lags) <= ledger.settings.lanes
    assert read_of_the_journal(settings, lambda c: journal.full_lanes(c, [lane], BATCH)) <= BATCH + 1
