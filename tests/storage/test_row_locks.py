"""Row locks keep order: each test holds a lock and checks that a drain waits for it."""

import threading
from typing import Any

import pytest

from pointledger import Earn, Spend, Transfer
from pointledger.errors import LaneCountDiffers
from pointledger.storage.errors import DATABASE_ERRORS, sqlstate
from pointledger.storage.migrate import migrate
from pointledger.storage.queue.lanes import terminate_stalled
from tests.ledger import Ledger
from tests.waiting import wait_until

LOCK_TIMED_OUT = "55P03"


@pytest.mark.parametrize(
    "locking",
    [
        "SELECT FROM lanes WHERE lane = %(lane)s FOR UPDATE",
        "SELECT FROM accounts WHERE user_id = 'anna' FOR UPDATE",
        "SELECT FROM accounts WHERE user_id = 'ben' FOR UPDATE",
    ],
    ids=["the lane's row", "the sender's account", "the recipient's account"],
)
def test_q1_a_drain_waits_for_a_locked_row(ledger: Ledger, locking: str) -> None:
    ledger.tenant(transfer_enabled=True)
    ledger.apply(*(Earn(tenant_id="shop", user_id=user, amount=10) for user in ("anna", "ben")))
    task_id = ledger.client.enqueue(Transfer(tenant_id="shop", user_id="anna", to_user_id="ben", amount=1))
    (lane,) = ledger.waiting_lanes()
    drained = threading.Thread(target=lambda: ledger.engine.drain(lane))
    with ledger.database.connect() as holder:
        holder.exec_driver_sql(locking, {"lane": lane})
        drained.start()
        wait_until(ledger.has_lock_waiter, "the drain waits for the row")
        assert ledger.client.outcome(task_id).state == "pending"
        holder.rollback()
    drained.join(30)
    assert ledger.client.outcome(task_id).state == "applied"


def test_a_lock_timeout_ends_the_drain_and_records_no_failure(ledger: Ledger) -> None:
    ledger.tenant()
    short_timeouts = Ledger(ledger.settings.model_copy(update={"lock_timeout_ms": 50}))
    task_id = ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=1))
    (lane,) = ledger.waiting_lanes()
    with short_timeouts, ledger.database.connect() as holder:
        holder.exec_driver_sql("SELECT FROM lanes WHERE lane = %(lane)s FOR UPDATE", {"lane": lane})
        with pytest.raises(DATABASE_ERRORS) as raised:
            short_timeouts.engine.drain(lane)
        assert sqlstate(raised.value) == LOCK_TIMED_OUT
        holder.rollback()
    ledger.drain()
    assert ledger.client.outcome(task_id).state == "applied"
    assert ledger.counts("failures") == [0]


def test_a_transaction_that_stalls_in_a_copy_is_ended(ledger: Ledger) -> None:
    ended: list[BaseException] = []
    copying, resume = threading.Event(), threading.Event()

    def stall() -> None:
        with ledger.database.connect() as connection:
            cursor: Any = connection.connection.cursor()
            try:
                with cursor.copy("COPY dead_letters (entry_point, raw, reason, error) FROM STDIN") as stream:
                    stream.write_row(("test", b"", "", ""))
                    stream.write(b"x" * 1_000_000)  # more than all buffers, so the server reads
                    copying.set()
                    resume.wait(30)
            except Exception as error:
                ended.append(error)

    stalled = threading.Thread(target=stall)
    stalled.start()
    assert copying.wait(30)

    def end() -> bool:
        with ledger.database.connect() as connection:
            return terminate_stalled(connection, 0) == 1

    wait_until(end, "the stalled transaction is found and ended")
    resume.set()
    stalled.join(30)
    assert ended, "its process gets an error"


def test_a_spend_takes_from_as_many_lots_as_it_needs(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.apply(*(Earn(tenant_id="shop", user_id="anna", amount=1) for _ in range(100)))
    (spent,) = ledger.apply(Spend(tenant_id="shop", user_id="anna", amount=90))
    assert spent.state == "applied"
    assert ledger.balance("anna") == 10
    assert ledger.rows("SELECT count(*) FROM lots WHERE state = 'active'") == [(10,)]
    assert ledger.counts("lot_moves") == [90]


def test_a_producer_with_another_lane_count_is_refused(ledger: Ledger) -> None:
    ledger.tenant()
    migrate(ledger.settings.owner, lanes=8)
    with pytest.raises(LaneCountDiffers, match="8 lanes"):
        ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=1))
    assert ledger.counts("journal", "pending") == [0, 0]
