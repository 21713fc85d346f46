"""The row locks that make order and turns true, each shown by somebody who has to wait."""

import threading
from typing import Any

import pytest

from pointledger import Earn, Spend, Transfer
from pointledger.errors import LaneCountDiffers
from pointledger.storage.errors import DATABASE_ERRORS, sqlstate
from pointledger.storage.migrate import migrate
from pointledger.storage.queue.lanes import end_frozen
from tests.ledger import Ledger
from tests.waiting import wait_until

LOCK_TIMED_OUT = "55P03"


@pytest.mark.parametrize(
    "held",
    [
        "SELECT FROM lanes WHERE lane = %(lane)s FOR UPDATE",
        "SELECT FROM accounts WHERE user_id = 'anna' FOR UPDATE",
        "SELECT FROM accounts WHERE user_id = 'ben' FOR UPDATE",
    ],
    ids=["the lane's row", "the sender's account", "the recipient's account"],
)
def test_q1_a_drain_waits_for_a_row_that_somebody_holds(ledger: Ledger, held: str) -> None:
    ledger.tenant(transfer_enabled=True)
    ledger.apply(*(Earn(tenant_id="shop", user_id=user, amount=10) for user in ("anna", "ben")))
    task_id = ledger.client.enqueue(Transfer(tenant_id="shop", user_id="anna", to_user_id="ben", amount=1))
    (lane,) = ledger.waiting_lanes()
    drained = threading.Thread(target=lambda: ledger.engine.drain(lane))
    with ledger.database.connect() as holder:
        holder.exec_driver_sql(held, {"lane": lane})
        drained.start()
        wait_until(ledger.somebody_waits_for_a_row, "the drain stands before the row")
        assert ledger.client.outcome(task_id).state == "pending"
        holder.rollback()
    drained.join(30)
    assert ledger.client.outcome(task_id).state == "applied"


def test_a_row_that_is_held_too_long_ends_the_drain_and_charges_nobody(ledger: Ledger) -> None:
    ledger.tenant()
    quick = Ledger(ledger.settings.model_copy(update={"lock_timeout_ms": 50}))
    task_id = ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=1))
    (lane,) = ledger.waiting_lanes()
    with quick, ledger.database.connect() as holder:
        holder.exec_driver_sql("SELECT FROM lanes WHERE lane = %(lane)s FOR UPDATE", {"lane": lane})
        with pytest.raises(DATABASE_ERRORS) as raised:
            quick.engine.drain(lane)
        assert sqlstate(raised.value) == LOCK_TIMED_OUT
        holder.rollback()
    ledger.drain()
    assert ledger.client.outcome(task_id).state == "applied"
    assert ledger.counts("failures") == [0]


def test_a_transaction_that_froze_in_a_copy_is_ended(ledger: Ledger) -> None:
    ended: list[BaseException] = []
    copying, go_on = threading.Event(), threading.Event()

    def freeze() -> None:
        with ledger.database.connect() as connection:
            cursor: Any = connection.connection.cursor()
            try:
                with cursor.copy("COPY dead_letters (door, raw, reason, error) FROM STDIN") as stream:
                    stream.write_row(("test", b"", "", ""))
                    stream.write(b"x" * 1_000_000)  # past every buffer: the server has begun to read
                    copying.set()
                    go_on.wait(30)
            except Exception as error:
                ended.append(error)

    frozen = threading.Thread(target=freeze)
    frozen.start()
    assert copying.wait(30)

    def end() -> bool:
        with ledger.database.connect() as connection:
            return end_frozen(connection, 0) == 1

    wait_until(end, "the frozen transaction is seen and ended")
    go_on.set()
    frozen.join(30)
    assert ended, "its process hears of it"


def test_an_account_with_many_lots_pays_from_as_many_as_it_takes(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.apply(*(Earn(tenant_id="shop", user_id="anna", amount=1) for _ in range(100)))
    (spent,) = ledger.apply(Spend(tenant_id="shop", user_id="anna", amount=90))
    assert spent.state == "applied"
    assert ledger.balance("anna") == 10
    assert ledger.rows("SELECT count(*) FROM lots WHERE state = 'active'") == [(10,)]
    assert ledger.counts("lot_moves") == [90]


def test_a_producer_with_another_lane_count_is_refused_not_stranded(ledger: Ledger) -> None:
    ledger.tenant()
    migrate(ledger.settings.owner, lanes=8)
    with pytest.raises(LaneCountDiffers, match="8 lanes"):
        ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=1))
    assert ledger.counts("journal", "pending") == [0, 0]
