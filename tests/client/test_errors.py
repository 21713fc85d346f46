"""Failures are raised as the library's own errors, with their cause and without secrets."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.engine import make_url

from pointledger import Earn, PointsClient
from pointledger.errors import (
    AcceptanceBusy,
    DatabaseFailed,
    DatabaseNotMigrated,
    InvalidCommand,
    LedgerError,
    NotConfigured,
    QueryTimeout,
    SettingsInvalid,
)
from pointledger.ids import show_id
from pointledger.settings import Settings, from_environment
from tests.client.calls import CALLS
from tests.ledger import Ledger

SECRET = "a secret password"


@pytest.fixture
def client(ledger: Ledger) -> Iterator[PointsClient]:
    ledger.tenant()
    with PointsClient.connect(ledger.settings) as opened:
        yield opened


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


def test_any_setting_can_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, text in {
        "ERASURE_KEY": "never change this key",
        "BACKOFF_SECONDS": "[1, 2.5]",
        "LANES": "7",
    }.items():
        (tmp_path / name).write_text(f"{text}\n")
        monkeypatch.setenv(f"POINTLEDGER_{name}_FILE", str(tmp_path / name))

    read = from_environment()

    assert read.erasure_key is not None
    assert read.erasure_key.get_secret_value() == "never change this key"
    assert (read.backoff_seconds, read.lanes) == ((1, 2.5), 7)


@pytest.mark.parametrize(
    ("path", "text", "value", "message"),
    [
        ("missing", None, None, "POINTLEDGER_ERASURE_KEY_FILE: .*missing: No such file or directory"),
        ("latin-1", b"\xe9", None, "POINTLEDGER_ERASURE_KEY_FILE: .*latin-1: not UTF-8"),
        ("key", b"one", "two", "POINTLEDGER_ERASURE_KEY and POINTLEDGER_ERASURE_KEY_FILE are both set"),
    ],
)
def test_a_file_of_a_setting_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    path: str,
    text: bytes | None,
    value: str | None,
    message: str,
) -> None:
    if text is not None:
        (tmp_path / path).write_bytes(text)
    monkeypatch.setenv("POINTLEDGER_ERASURE_KEY_FILE", str(tmp_path / path))
    if value is not None:
        monkeypatch.setenv("POINTLEDGER_ERASURE_KEY", value)
    with pytest.raises(SettingsInvalid, match=message):
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
