"""Postgres URLs are taken whole, as libpq reads them, and a session gets what the driver needs."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from pointledger import Earn
from pointledger.errors import NotConfigured
from pointledger.observability.doctor import Severity, examine
from pointledger.settings import Settings
from pointledger.storage.database import engine_for, limited_engine_for, rows
from pointledger.storage.migrate import migrate
from pointledger.storage.urls import connection_parameters, parse
from tests.ledger import Ledger

SETTING = "POINTLEDGER_DATABASE_URL"
POOLS = ["a client", "a worker"]


def pool(settings: Settings, of: str) -> sa.Engine:
    return engine_for(settings.database) if of == "a client" else limited_engine_for(settings)


@contextmanager
def opened(settings: Settings, of: str) -> Iterator[sa.Connection]:
    engine = pool(settings, of)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def with_options(url: str, options: str) -> str:
    return f"{url}?options={options}"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("postgres://u:p%40%2F%3A@h/d", {"user": "u", "password": "p@/:", "host": "h", "dbname": "d"}),
        ("postgresql+psycopg://u@h:5433/d", {"user": "u", "host": "h", "port": "5433", "dbname": "d"}),
        ("postgresql://u:50%off@h/d", {"user": "u", "password": "50%off", "host": "h", "dbname": "d"}),
        (
            "postgresql://u@a:5432,b:5433/d?target_session_attrs=read-write",
            {
                "user": "u", "host": "a,b", "port": "5432,5433", "dbname": "d",
                "target_session_attrs": "read-write",
            },
        ),
        ("postgresql://u@%2Frun%2Fpg/d", {"user": "u", "host": "/run/pg", "dbname": "d"}),
        ("postgresql:///d?host=/run/pg&user=u", {"user": "u", "host": "/run/pg", "dbname": "d"}),
        ("postgresql://[::1]:5433/d", {"host": "::1", "port": "5433", "dbname": "d"}),
    ],
)  # fmt: skip
def test_a_url_means_what_libpq_reads_in_it(url: str, found: dict[str, str]) -> None:
    assert parse(url, SETTING) == found


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("connect_timeout=30&tcp_user_timeout=60000", {"connect_timeout": "30", "tcp_user_timeout": "60000"}),
        ("keepalives_idle=77", {"keepalives_idle": "77"}),
        ("sslmode=verify-full&sslrootcert=/ca", {"sslmode": "verify-full", "sslrootcert": "/ca"}),
        ("application_name=till", {"application_name": "till"}),
        ("options=-csearch_path%3Dcell_7", {"options": "-csearch_path=cell_7"}),
    ],
)
def test_what_a_url_says_is_kept_and_the_rest_is_added(given: str, kept: dict[str, str]) -> None:
    found = connection_parameters(f"postgresql://u@h/d?{given}", SETTING)
    assert found | kept == found
    assert {"connect_timeout", "keepalives_idle", "tcp_user_timeout", "fallback_application_name"} <= {*found}


def test_variables_and_services_are_kept_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "services"
    file.write_text("[points]\nhost=a,b\nport=5432,5433\nconnect_timeout=33\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "44")
    found = connection_parameters("postgresql://?service=points", SETTING)
    assert (found["host"], found["port"], found["connect_timeout"]) == ("a,b", "5432,5433", "33")
    assert "connect_timeout" not in connection_parameters("postgresql://h/d", SETTING), (
        "the variable's counts"
    )


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://h/d", "must look like postgresql://"),
        ("host=h dbname=d", "must look like postgresql://"),
        ("postgresql://u:pass/word@h/d", "%2F"),
        ("postgresql://u@h:70000/d", "port from 1 to 65535"),
        ("postgresql://u@h/d?sslmod=require", "knows no parameter 'sslmod'"),
        ("postgresql://u@[::1/d", "must look like postgresql://"),
    ],
)
def test_a_malformed_url_is_refused_with_the_settings_name(url: str, message: str) -> None:
    with pytest.raises(NotConfigured, match=SETTING) as refused:
        engine_for(url)
    assert message in str(refused.value)
    assert "word" not in str(refused.value).replace("password", "")


@pytest.mark.parametrize(
    ("query", "message"),
    [("service=nope", 'definition of service "nope" not found'), ("host=a,b&port=1,2,3", "port numbers")],
)
def test_a_service_that_does_not_exist_is_named_when_a_process_connects(query: str, message: str) -> None:
    with pytest.raises(NotConfigured, match=SETTING) as refused:
        engine_for(f"postgresql://?{query}").connect()
    assert message in str(refused.value)


def test_a_search_path_in_the_url_counts_for_migrate_clients_and_workers_alike(settings: Settings) -> None:
    with psycopg.connect(settings.owner, autocommit=True) as owner:
        owner.execute("CREATE SCHEMA cell_7")
    in_cell = {
        name: with_options(getattr(settings, name), "-csearch_path%3Dcell_7")
        for name in ("database_url", "owner_url")
    }
    migrate(in_cell["owner_url"], settings.lanes, in_cell["database_url"])
    with Ledger(settings.model_copy(update=in_cell)) as ledger:
        ledger.tenant()
        (outcome,) = ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=5))
        assert outcome.state == "applied"
        assert ledger.rows("SELECT count(*) FROM cell_7.accounts")[0][0] == 1
        assert ledger.rows("SELECT count(*) FROM public.accounts")[0][0] == 0


def test_of_several_hosts_the_one_that_answers_is_used(settings: Settings) -> None:
    url = parse(settings.database, SETTING)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but it does not listen
        port = closed.getsockname()[1]
        hosts = f"127.0.0.1:{port},{url['host']}:{url['port']}"
        several = f"postgresql://{url['user']}:{url['password']}@{hosts}/{url['dbname']}"
        changed = settings.model_copy(update={"database_url": f"{several}?target_session_attrs=read-write"})
        for of in POOLS:
            with opened(changed, of) as connection:
                assert rows(connection, "SELECT 1")[0][0] == 1


ROLE_SETTINGS = {
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Tokyo",
    "client_encoding": "LATIN1",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "serializable",
    "array_nulls": "off",
    "statement_timeout": "100s",
}


@pytest.fixture
def strange(settings: Settings) -> Iterator[Settings]:
    """Settings of a database whose sessions start with settings that the driver cannot read."""
    with psycopg.connect(settings.owner, autocommit=True) as owner:
        name = owner.info.dbname
        for setting, value in ROLE_SETTINGS.items():
            owner.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'")
    yield settings


def test_a_ledger_works_with_any_settings_that_a_database_gives_its_sessions(strange: Settings) -> None:
    with Ledger(strange) as ledger:
        ledger.tenant()
        (outcome,) = ledger.apply(Earn(tenant_id="shop", user_id="zoe", amount=5, reason="Łódź ✓"))
        assert outcome.state == "applied"
        assert str(outcome.as_json()["applied_at"]).endswith("Z")
        (entry,) = ledger.entries("zoe")
        assert entry["created_at"].endswith("Z")


@pytest.mark.parametrize("of", POOLS)
def test_a_session_has_the_settings_that_the_driver_needs(strange: Settings, of: str) -> None:
    with opened(strange, of) as connection:
        names = ["DateStyle", "IntervalStyle", "TimeZone", "client_encoding", "standard_conforming_strings"]
        names += ["default_transaction_isolation", "array_nulls"]
        found = [rows(connection, f"SHOW {name}")[0][0] for name in names]
    assert found == ["ISO, MDY", "postgres", "UTC", "UTF8", "on", "read committed", "on"]


def test_a_workers_limits_stay_after_a_rollback(settings: Settings) -> None:
    with opened(settings, "a worker") as connection:
        connection.rollback()
        assert rows(connection, "SHOW lock_timeout")[0][0] == "2s"
        assert rows(connection, "SHOW enable_seqscan")[0][0] == "off"


def test_the_doctor_warns_of_a_time_out_that_the_login_has(settings: Settings) -> None:
    url = with_options(settings.database, "-cstatement_timeout%3D3s")
    report = examine(settings.model_copy(update={"database_url": url}))
    (found,) = [one for one in report.findings if one.check == "postgres-sessions"]
    assert found.verdict is Severity.WARNING
    assert "statement_timeout=3000 ms" in found.seen
