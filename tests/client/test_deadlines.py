"""No call of a client waits without end: not for the lock of a table, and not for a server that hangs."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from pointledger import Earn, PointsClient
from pointledger.client import looks
from pointledger.errors import DatabaseAway, WaitTimedOut
from pointledger.ids import show_id
from pointledger.messaging import redis_client
from pointledger.settings import Settings
from pointledger.storage import deadlines
from tests.chaos.proxy import Link, Proxy
from tests.client.accepting import earn
from tests.ledger import Ledger
from tests.waiting import wait_until
from tests.working import working

LIMIT_MS = 200  # of a statement
BOUND_SECONDS = 30.0  # a call that hangs takes longer; far more than any of these limits


@pytest.fixture
def links(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Link]]:
    """The client's links to Postgres and to Valkey, with limits that a test can wait for."""
    monkeypatch.setattr(deadlines, "_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(looks, "_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(redis_client, "_TIMEOUT_SECONDS", 0.1)
    proxy = Proxy()
    urls = {"postgres": settings.database, "valkey": settings.redis}
    yield {name: Link(proxy, name, make_url(url).port or 0) for name, url in urls.items()}
    proxy.stop()


@pytest.fixture
def client(
    ledger: Ledger, links: dict[str, Link], connect: Callable[[Settings], Any]
) -> Iterator[PointsClient]:
    ledger.tenant()
    with connect(linked(ledger.settings, links)) as opened:
        yield opened


def linked(settings: Settings, links: dict[str, Link]) -> Settings:
    def through(url: str, link: Link) -> str:
        changed = make_url(url).set(host="127.0.0.1", port=link.port)
        return changed.render_as_string(hide_password=False)

    urls = {
        "database_url": through(settings.database, links["postgres"]),
        "redis_url": through(settings.redis, links["valkey"]),
    }
    return settings.model_copy(update={**urls, "statement_timeout_ms": LIMIT_MS})


def accept(client: PointsClient, command: Earn) -> None:
    """Accept the command. A busy machine may need longer than the limit, and a repetition is recognized."""

    def accepted() -> bool:
        with suppress(DatabaseAway):
            client.enqueue(command)
            return True
        return False

    wait_until(accepted, "the command is accepted")


@contextmanager
def locked(ledger: Ledger, table: str) -> Iterator[None]:
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql(f"LOCK TABLE {table}")
        yield


@contextmanager
def bounded() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < BOUND_SECONDS


@pytest.mark.parametrize("count", [1, 3])
def test_a_locked_table_ends_a_call_that_accepts_and_nothing_is_accepted(
    client: PointsClient, ledger: Ledger, count: int
) -> None:
    commands = [earn(number + 1) for number in range(count)]
    with locked(ledger, "journal"), bounded(), pytest.raises(DatabaseAway) as raised:
        client.enqueue_many(commands)
    assert "nothing was accepted; canceling statement due to statement timeout" in str(raised.value)
    assert not raised.value.maybe_done
    assert client.accept(commands).new == count


def test_all_threads_of_a_group_learn_that_a_table_is_locked(client: PointsClient, ledger: Ledger) -> None:
    with locked(ledger, "journal"), bounded(), ThreadPoolExecutor(20) as pool:
        futures = [pool.submit(client.enqueue, earn(number + 1)) for number in range(20)]
        errors = [future.exception(BOUND_SECONDS) for future in futures]
    assert {type(error) for error in errors} == {DatabaseAway}
    assert ledger.counts("journal") == [0]


def test_a_locked_table_ends_a_wait_at_its_deadline(client: PointsClient, ledger: Ledger) -> None:
    task_id = client.enqueue(earn())
    with locked(ledger, "outcomes"), bounded(), pytest.raises(WaitTimedOut) as raised:
        client.wait(task_id, timeout=0.5)
    assert f"the database has not said within 0.5 s what became of {task_id}" in str(raised.value)


def test_a_wait_goes_on_while_a_table_is_locked(client: PointsClient, ledger: Ledger) -> None:
    """Statements are canceled meanwhile, which is no error before the deadline."""
    task_id = client.enqueue(earn())
    ledger.drain()
    with ThreadPoolExecutor(1) as pool:
        with locked(ledger, "outcomes"):
            future = pool.submit(client.wait, task_id, BOUND_SECONDS)
            wait_until(ledger.has_lock_waiter, "a look waits for the lock")
            wait_until(lambda: not ledger.has_lock_waiter(), "it is canceled")
        assert future.result(BOUND_SECONDS).state == "applied"


def test_a_postgres_that_hangs_ends_each_wait_at_its_deadline(
    client: PointsClient, links: dict[str, Link]
) -> None:
    task_ids = [client.enqueue(earn(number + 1)) for number in range(5)]
    links["postgres"].silence("there", "back")
    with bounded(), ThreadPoolExecutor(5) as pool:
        futures = [pool.submit(client.wait, task_id, 0.3) for task_id in task_ids]
        errors = [future.exception(BOUND_SECONDS) for future in futures]
    assert {type(error) for error in errors} == {WaitTimedOut}
    links["postgres"].silence()


@pytest.mark.parametrize("direction", ["there", "back"])
def test_a_postgres_that_hangs_ends_a_call_that_accepts_and_the_command_may_be_accepted(
    client: PointsClient, links: dict[str, Link], ledger: Ledger, direction: str
) -> None:
    accept(client, earn())  # opens a connection, and measures the backlog
    command = earn()
    links["postgres"].silence(direction)
    with bounded(), pytest.raises(DatabaseAway) as raised:
        client.enqueue(command)
    assert raised.value.maybe_done
    assert f"command {show_id(command.id)} may be accepted" in str(raised.value)
    assert "Postgres has not answered in time" in str(raised.value)
    links["postgres"].silence()
    accept(client, command)
    assert ledger.counts("journal") == [2]


def test_a_query_may_take_longer_than_a_statement_that_accepts(client: PointsClient, ledger: Ledger) -> None:
    ledger.apply(earn())
    with ThreadPoolExecutor(1) as pool:
        with locked(ledger, "accounts"):
            future = pool.submit(client.account, "shop", "anna")
            wait_until(ledger.has_lock_waiter, "the query waits")
            slow = time.monotonic() + 4 * LIMIT_MS / 1000
            wait_until(lambda: time.monotonic() > slow, "more than the limit has passed")
        assert future.result(BOUND_SECONDS)["balance"] == 5


def test_a_redis_that_hangs_delays_no_call_for_long(
    client: PointsClient, links: dict[str, Link], ledger: Ledger
) -> None:
    links["valkey"].silence("there", "back")
    with bounded(), working(ledger):
        assert client.wait(client.enqueue(earn()), BOUND_SECONDS).state == "applied"
        with pytest.raises(WaitTimedOut):
            client.wait(show_id(earn().id), timeout=0.2)
    links["valkey"].silence()
