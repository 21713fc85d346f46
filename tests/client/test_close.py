"""Every method of a closed client raises ClientClosed, and a client cannot be copied."""

import copy
import gc
import pickle
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import orm

from pointledger import Earn, PointsClient
from pointledger.errors import ClientClosed, ClientNotCopied
from tests.client.calls import CALLS, methods
from tests.ledger import Ledger
from tests.waiting import wait_until

NAME = "closing"  # of its sessions in Postgres


@pytest.fixture
def client(ledger: Ledger) -> PointsClient:
    ledger.tenant()
    named = {"database_url": f"{ledger.settings.database}?application_name={NAME}"}
    return PointsClient.connect(ledger.settings.model_copy(update=named))


def earn() -> Earn:
    return Earn(tenant_id="shop", user_id="anna", amount=1)


@pytest.fixture
def threads() -> Callable[[], list[str]]:
    """Return the names of the threads that began in this test. Others' clients may be in this process."""
    before = threading.enumerate()
    return lambda: [thread.name for thread in threading.enumerate() if thread not in before]


def test_every_method_of_a_closed_client_raises(client: PointsClient) -> None:
    client.close()
    for name in methods():
        with pytest.raises(ClientClosed, match="Create a new one"):
            CALLS[name](client)


def test_closing_again_does_nothing(client: PointsClient) -> None:
    with client:
        client.close()
    client.close()


def test_waiting_calls_raise_at_once_when_the_client_is_closed(
    client: PointsClient, threads: Callable[[], list[str]]
) -> None:
    task_id = client.enqueue(earn())
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(client.wait, task_id, 600) for _ in range(3)]
        wait_until(lambda: "notifications" in threads(), "the calls wait")
        client.close()
        for one in waiting:
            with pytest.raises(ClientClosed):
                one.result(30)


def test_close_leaves_no_connection_and_no_thread(
    client: PointsClient, ledger: Ledger, threads: Callable[[], list[str]]
) -> None:
    task_id = client.enqueue(earn())
    ledger.drain()
    client.wait(task_id)
    assert sessions(ledger)
    client.close()
    wait_until(lambda: not sessions(ledger), "its sessions end")
    wait_until(lambda: "notifications" not in threads(), "its thread ends")


def test_a_running_call_succeeds_and_leaves_no_connection(client: PointsClient, ledger: Ledger) -> None:
    command = Earn(tenant_id="shop", user_id="anna", amount=1, idempotency_key="k")
    duplicate = Earn(tenant_id="shop", user_id="anna", amount=1, idempotency_key="k")
    with ThreadPoolExecutor(1) as pool, ledger.database.connect() as other:
        transaction = other.begin()
        ledger.client.accept([duplicate], other)
        running = pool.submit(client.enqueue, command)
        wait_until(ledger.has_lock_waiter, "the call waits for the other's key")
        client.close()
        transaction.commit()
        running.result(30)
    wait_until(lambda: not sessions(ledger), "its session ends")


def test_a_session_can_commit_after_the_client_was_closed(client: PointsClient, ledger: Ledger) -> None:
    with orm.Session(ledger.database) as session, session.begin():
        client.enqueue(earn(), session)
        client.close()
    assert ledger.counts("journal") == [1]


def test_an_iterator_of_a_closed_client_reads_no_further_page(client: PointsClient) -> None:
    batch = client.batch_earn("shop", [("anna", 1)] * 1_001, idempotency_key="k")
    outcomes = client.batch_outcomes(batch.batch_id)
    for _ in range(1_000):
        next(outcomes)
    client.close()
    with pytest.raises(ClientClosed):
        next(outcomes)


def test_a_client_that_is_freed_leaves_no_thread(
    client: PointsClient, ledger: Ledger, threads: Callable[[], list[str]]
) -> None:
    freed = PointsClient.connect(ledger.settings)
    with pytest.raises(TimeoutError):
        freed.wait(client.enqueue(earn()), timeout=0)
    assert "notifications" in threads()
    known = weakref.ref(freed)
    del freed
    gc.collect()
    assert known() is None
    wait_until(lambda: "notifications" not in threads(), "its thread ends")
    client.close()


@pytest.mark.parametrize("made", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copying_a_client_raises_with_a_remedy(
    client: PointsClient, made: Callable[[PointsClient], Any]
) -> None:
    with client, pytest.raises(ClientNotCopied, match="Make one in each process") as raised:
        made(client)
    assert isinstance(raised.value, TypeError), "pickle and copy raise it for such objects"


def sessions(ledger: Ledger) -> int:
    statement = """SELECT FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = %(name)s"""
    return len(ledger.rows(statement, name=NAME))
