"""While a server is unavailable, a client says whether its commands may be accepted."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from pointledger import Earn, PointsClient
from pointledger.errors import (
    AccountMissing,
    DatabaseAway,
    DatabaseFailed,
    LedgerError,
)
from pointledger.ids import show_id
from pointledger.settings import Settings
from tests.chaos.proxy import Link
from tests.client.calls import CALLS, methods
from tests.ledger import Ledger
from tests.links import link_to, through
from tests.waiting import wait_until


@pytest.fixture
def postgres(settings: Settings) -> Iterator[Link]:
    """The client's link to Postgres."""
    with link_to(settings.database) as link:
        yield link


@pytest.fixture
def linked(settings: Settings, postgres: Link) -> Settings:
    return settings.model_copy(update={"database_url": through(settings.database, postgres)})


@pytest.fixture
def client(ledger: Ledger, linked: Settings, connect: Callable[[Settings], Any]) -> Iterator[PointsClient]:
    ledger.tenant()
    with connect(linked) as opened:
        yield opened


def earn(**more: Any) -> Earn:
    return Earn(tenant_id="shop", user_id="anna", amount=1, **more)


def test_every_method_raises_while_the_database_is_unavailable(client: PointsClient, postgres: Link) -> None:
    postgres.refuse(True)
    for name in methods():
        if name == "ring":
            continue  # it uses only Redis
        with pytest.raises(DatabaseAway, match="Try again") as raised:
            CALLS[name](client)
        assert isinstance(raised.value.__cause__, sa.exc.SQLAlchemyError | psycopg.Error), name
        assert not raised.value.maybe_done, name


@pytest.mark.parametrize("name", ["enqueue", "enqueue_many", "accept", "batch_earn"])
def test_an_error_before_sending_says_that_nothing_was_accepted(
    client: PointsClient, postgres: Link, name: str
) -> None:
    postgres.refuse(True)
    with pytest.raises(DatabaseAway, match=r"nothing was accepted; .*Connection refused"):
        CALLS[name](client)


def test_after_a_lost_reply_to_a_commit_commands_may_be_accepted_and_can_be_sent_again(
    client: PointsClient, postgres: Link, ledger: Ledger
) -> None:
    commands = [earn() for _ in range(3)]
    postgres.cut_commits(100)
    with pytest.raises(DatabaseAway, match="may be accepted") as raised:
        client.enqueue_many(commands)
    assert raised.value.maybe_done
    assert show_id(commands[0].id) not in str(raised.value)
    assert ledger.counts("journal") == [3], "they are accepted"
    postgres.heal()
    assert client.accept(commands).new == 0
    assert ledger.counts("journal") == [3]


def test_after_a_lost_reply_a_single_command_is_found_in_the_journal(
    client: PointsClient, postgres: Link, ledger: Ledger
) -> None:
    command = earn()
    postgres.cut_commits(100)
    assert client.enqueue(command) == show_id(command.id)
    assert postgres.injected["cut"]
    assert ledger.counts("journal") == [1]


def test_an_ambiguous_commit_stays_ambiguous_when_the_next_attempt_cannot_connect(
    client: PointsClient, postgres: Link
) -> None:
    """The reply is lost, and then Postgres is unavailable."""
    client.enqueue(earn())  # opens a connection
    postgres.port_of_server = 1
    postgres.cut_commits(1)
    command = earn()
    with pytest.raises(DatabaseAway, match="may be accepted") as raised:
        client.enqueue(command)
    assert raised.value.maybe_done
    assert show_id(command.id) in str(raised.value)


def test_after_a_lost_reply_to_its_commit_a_batch_can_be_sent_again(
    client: PointsClient, postgres: Link, ledger: Ledger
) -> None:
    def send() -> Any:
        return client.batch_earn("shop", [("anna", 1), ("ben", 2)], idempotency_key="bonus")

    postgres.cut_commits(100)
    with pytest.raises(DatabaseAway, match="the batch may have been accepted") as raised:
        send()
    assert raised.value.maybe_done
    postgres.heal()
    assert send().new == 0
    assert ledger.counts("journal") == [2]


@pytest.mark.parametrize("name", ["pause", "resume"])
def test_after_a_lost_reply_to_its_commit_a_control_call_may_be_done(
    client: PointsClient, postgres: Link, name: str
) -> None:
    postgres.cut_commits(100)
    with pytest.raises(DatabaseAway, match="it may be done; check") as raised:
        CALLS[name](client)
    assert raised.value.maybe_done


def test_an_error_after_a_cancellation_says_that_it_is_done(
    client: PointsClient, postgres: Link, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = client.enqueue(earn())
    notify = client._own.doorbells.notify

    def then_refuse(lanes: Iterable[int]) -> None:
        notify(lanes)
        postgres.refuse(True)

    monkeypatch.setattr(client._own.doorbells, "notify", then_refuse)
    with pytest.raises(DatabaseAway, match="the command is canceled") as raised:
        client.cancel(task_id)
    assert raised.value.maybe_done
    assert ledger.client.outcome(task_id).reason == "CANCELLED"


def test_a_client_can_be_created_while_the_database_is_unavailable(
    ledger: Ledger, postgres: Link, linked: Settings
) -> None:
    postgres.refuse(True)
    with pytest.raises(DatabaseAway, match="Connection refused"):
        PointsClient.connect(linked)
    with PointsClient(linked) as client:
        postgres.refuse(False)
        client.enqueue(earn())
    assert ledger.counts("journal") == [1]


def test_an_exhausted_pool_raises_with_its_cause(
    client: PointsClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = client._own.database.pool
    assert isinstance(pool, sa.QueuePool | sa.AsyncAdaptedQueuePool)
    monkeypatch.setattr(pool, "_timeout", 0.1)
    with ledger.owner.begin() as locked, ThreadPoolExecutor(pool.size()) as others:
        locked.exec_driver_sql("LOCK TABLE accounts")
        busy = [others.submit(client.account, "shop", "anna") for _ in range(pool.size())]
        wait_until(lambda: pool.checkedout() == pool.size(), "all are in use")
        for name in ("enqueue", "account"):
            with pytest.raises(DatabaseAway, match="all connections of this process are in use") as raised:
                CALLS[name](client)
            assert not raised.value.maybe_done
        locked.rollback()
        assert {type(one.exception(60)) for one in busy} == {AccountMissing}
    client.enqueue(earn())


def test_without_redis_every_method_works_and_wait_polls(ledger: Ledger) -> None:
    ledger.tenant()
    elsewhere = {"redis_url": "redis://127.0.0.1:1/0"}
    with PointsClient.connect(ledger.settings.model_copy(update=elsewhere)) as client:
        task_id = client.enqueue(earn())
        ledger.drain()
        assert client.wait(task_id).state == "applied"
        for name in methods():
            try:
                CALLS[name](client)
            except LedgerError as error:
                assert not isinstance(error, DatabaseAway | DatabaseFailed), name


@pytest.mark.long
def test_a_broker_that_rejects_the_password_fails_no_command(ledger: Ledger, rabbitmq_url: str) -> None:
    invalid = rabbitmq_url.replace("guest:guest", "guest:invalid")
    with PointsClient.connect(ledger.settings.model_copy(update={"broker_url": invalid})) as client:
        client.enqueue(earn())
    assert ledger.counts("journal") == [1]


def test_threads_see_only_database_away_during_a_restart_of_postgres(
    client: PointsClient, postgres: Link, ledger: Ledger
) -> None:
    at_once = Barrier(8)

    def work(number: int) -> set[type[BaseException]]:
        raised: set[type[BaseException]] = set()
        at_once.wait(30)
        for step in range(20):
            if number == 0 and step % 5 == 4:
                postgres.reset()
            try:
                client.enqueue(earn())
                client.account("shop", "anna")
            except LedgerError as error:
                raised.add(type(error))
        return raised

    ledger.apply(earn())
    with ThreadPoolExecutor(8) as pool:
        raised = set().union(*pool.map(work, range(8)))
    assert raised <= {DatabaseAway}
