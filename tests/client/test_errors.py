"""Failures of the servers are raised as the library's own errors, with their cause, and say whether the
command may be accepted."""

import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.engine import make_url

from pointledger import Earn, PointsClient
from pointledger.errors import (
    AcceptanceBusy,
    DatabaseAway,
    DatabaseFailed,
    DatabaseNotMigrated,
    InvalidCommand,
    LedgerError,
    NotConfigured,
    QueryTimeout,
    SettingsInvalid,
)
from pointledger.ids import show_id
from pointledger.settings import Settings
from tests.chaos.proxy import Link, Proxy
from tests.client.calls import CALLS, methods
from tests.ledger import Ledger

SECRET = "a secret password"


@pytest.fixture
def postgres(settings: Settings) -> Iterator[Link]:
    """The client's link to Postgres."""
    proxy = Proxy()
    yield Link(proxy, "postgres", make_url(settings.database).port or 0)
    proxy.stop()


@pytest.fixture
def client(ledger: Ledger, postgres: Link) -> Iterator[PointsClient]:
    ledger.tenant()
    with PointsClient.connect(through(ledger.settings, postgres)) as opened:
        yield opened


def through(settings: Settings, link: Link) -> Settings:
    url = make_url(settings.database).set(host="127.0.0.1", port=link.port)
    return settings.model_copy(update={"database_url": url.render_as_string(hide_password=False)})


def earn(**more: Any) -> Earn:
    return Earn(tenant_id="shop", user_id="anna", amount=1, **more)


def test_every_error_can_be_pickled() -> None:
    """A pool of multiprocessing sends errors so."""
    kinds = LedgerError.__subclasses__()
    assert len(kinds) > 30
    for kind in kinds:
        error = kind("details")
        error.note = "kept"  # type: ignore[attr-defined]
        copied = pickle.loads(pickle.dumps(error))
        assert (type(copied), str(copied), vars(copied)) == (kind, str(error), vars(error))


# ----------------------------------------------------------------------------- Postgres is unavailable


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


@pytest.mark.parametrize("count", [1, 3])
def test_after_a_lost_reply_to_a_commit_commands_may_be_accepted_and_can_be_sent_again(
    client: PointsClient, postgres: Link, ledger: Ledger, count: int
) -> None:
    commands = [earn() for _ in range(count)]
    postgres.cut_commits(100)
    with pytest.raises(DatabaseAway, match="may be accepted") as raised:
        client.enqueue_many(commands)
    assert raised.value.maybe_done
    assert (show_id(commands[0].id) in str(raised.value)) == (count == 1)
    assert ledger.counts("journal") == [count], "they are accepted"
    postgres.heal()
    assert client.accept(commands).new == 0
    assert ledger.counts("journal") == [count]


def test_an_ambiguous_commit_stays_ambiguous_when_the_next_attempt_cannot_connect(
    client: PointsClient, postgres: Link
) -> None:
    """The reply is lost, and then Postgres is unavailable."""
    client.enqueue(earn())  # opens a connection
    postgres.port_of_server = 1
    postgres.cut_commits(1)
    with pytest.raises(DatabaseAway, match="may be accepted") as raised:
        client.enqueue(earn())
    assert raised.value.maybe_done


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

    def then_refuse(lane: int) -> None:
        notify(lane)
        postgres.refuse(True)

    monkeypatch.setattr(client._own.doorbells, "notify", then_refuse)
    with pytest.raises(DatabaseAway, match="the command is canceled") as raised:
        client.cancel(task_id)
    assert raised.value.maybe_done
    assert ledger.client.outcome(task_id).reason == "CANCELLED"


def test_a_client_can_be_created_while_the_database_is_unavailable(ledger: Ledger, postgres: Link) -> None:
    settings = through(ledger.settings, postgres)
    postgres.refuse(True)
    with pytest.raises(DatabaseAway, match="Connection refused"):
        PointsClient.connect(settings)
    with PointsClient(settings) as client:
        postgres.refuse(False)
        client.enqueue(earn())
    assert ledger.counts("journal") == [1]


def test_an_exhausted_pool_raises_with_its_cause(
    client: PointsClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = client._database.pool
    assert isinstance(pool, sa.QueuePool)
    monkeypatch.setattr(pool, "_timeout", 0.1)
    lent = [client._database.connect() for _ in range(pool.size())]
    for name in ("enqueue", "account"):
        with pytest.raises(DatabaseAway, match="all connections of this process are in use") as raised:
            CALLS[name](client)
        assert not raised.value.maybe_done
    for one in lent:
        one.close()
    client.enqueue(earn())


# -------------------------------------------------------------------------------- permanent failures


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"password": SECRET}, "password authentication failed"),
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
        ({"username": "unknown_user"}, "unknown_user"),
        ({"query": {"sslmode": "nonsense"}}, "sslmode"),
        ({"query": {"nonsense": "1"}}, "nonsense"),
    ],
    ids=["password", "database", "user", "a value in the URL", "a name in the URL"],
)
def test_an_error_about_the_url_does_not_show_its_password(
    settings: Settings, change: dict[str, Any], error: str
) -> None:
    url = make_url(settings.database).set(**change).render_as_string(hide_password=False)
    with pytest.raises(LedgerError, match=error) as raised:
        PointsClient.connect(settings.model_copy(update={"database_url": url}))
    assert raised.value.__cause__ is not None
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_url", "nonsense"),
        ("database_url", "postgresql://host:port/x"),
        ("redis_url", "http://host"),
        ("redis_url", "redis://host:port"),
        ("broker_url", "nonsense://host"),
        ("broker_url", "amqp://host:port"),
        ("database_url", None),
        ("redis_url", None),
    ],
)
def test_the_setting_of_a_malformed_url_is_named(settings: Settings, name: str, value: str | None) -> None:
    with pytest.raises(NotConfigured, match=f"POINTLEDGER_{name.upper()}"):
        PointsClient.connect(settings.model_copy(update={name: value}))


@pytest.mark.parametrize(("name", "value"), [("LANES", "many"), ("BACKOFF_SECONDS", "[1, ")])
def test_a_malformed_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"POINTLEDGER_{name}", value)
    with pytest.raises(SettingsInvalid, match=f"(?i){name}"):
        PointsClient.connect()


def test_a_database_without_tables_raises_database_not_migrated(settings: Settings, owner_url: str) -> None:
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute("DROP TABLE alembic_version")
    with pytest.raises(DatabaseNotMigrated):
        PointsClient.connect(settings)


def test_a_missing_privilege_raises_with_its_cause_and_nothing_is_accepted(
    client: PointsClient, owner_url: str
) -> None:
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute("REVOKE ALL ON journal, accounts FROM pointledger_app")
    for name, error in {
        "enqueue": "nothing was accepted; permission denied for table journal",
        "account": "permission denied for table accounts",
        "outcome": "permission denied",
    }.items():
        with pytest.raises(DatabaseFailed, match=error) as raised:
            CALLS[name](client)
        assert not raised.value.maybe_done
        assert raised.value.__cause__ is not None


def test_an_error_about_a_missing_table_does_not_show_the_statement(
    client: PointsClient, owner_url: str
) -> None:
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute("ALTER TABLE outcomes RENAME TO elsewhere")
    with pytest.raises(DatabaseFailed, match='relation "outcomes" does not exist') as raised:
        client.outcome(show_id(earn().id))
    assert "SELECT" not in str(raised.value)


@pytest.mark.parametrize("user_id", ["nul\0", "\ud800"])
def test_text_that_postgres_cannot_store_raises_invalid_command(client: PointsClient, user_id: str) -> None:
    with pytest.raises(InvalidCommand, match="characters that Postgres cannot hold"):
        client.account("shop", user_id)


def test_a_query_that_takes_too_long_raises_with_its_cause(
    client: PointsClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pointledger.storage.database._QUERY_TIMEOUT_MS", 1)
    with ledger.owner.begin() as locked:
        locked.exec_driver_sql("LOCK TABLE accounts")
        with pytest.raises(QueryTimeout) as raised:
            client.account("shop", "anna")
    assert isinstance(raised.value.__cause__, psycopg.errors.QueryCanceled)


# --------------------------------------------------------------------- the caller's own transaction


def test_a_failure_of_the_callers_connection_raises_its_own_error(
    client: PointsClient, ledger: Ledger
) -> None:
    with orm.Session(ledger.database) as session:
        end(ledger, session.connection())
        with pytest.raises(sa.exc.OperationalError):
            client.enqueue(earn(), session)
        assert not session.is_active or session.connection().invalidated
    with psycopg.connect(ledger.settings.database) as connection:
        ledger.rows("SELECT pg_terminate_backend(%(pid)s)", pid=connection.info.backend_pid)
        with pytest.raises(psycopg.OperationalError):
            client.enqueue(earn(), connection)
    assert ledger.counts("journal") == [0]
    client.enqueue(earn())
    assert ledger.counts("journal") == [1], "the client's own connections still work"


def end(ledger: Ledger, connection: sa.Connection) -> None:
    (pid,) = connection.exec_driver_sql("SELECT pg_backend_pid()").one()
    ledger.rows("SELECT pg_terminate_backend(%(pid)s)", pid=pid)


def test_a_busy_key_has_its_cause(client: PointsClient, ledger: Ledger) -> None:
    key = "k"
    with ledger.database.connect() as one, ledger.database.connect() as other, one.begin(), other.begin():
        client.enqueue(earn(idempotency_key=key), one)
        with pytest.raises(AcceptanceBusy) as raised:
            client.enqueue(earn(idempotency_key=key), other)
    assert raised.value.__cause__ is not None


# -------------------------------------------------------------------------------- Redis is unavailable


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
