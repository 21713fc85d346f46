"""The doctor finds problems and prints remedies, and no process starts with a danger."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pointledger.errors import UnsafeConfiguration
from pointledger.observability.doctor import Finding, Severity, examine, require_safe, versions
from pointledger.observability.doctor.postgres import skew
from pointledger.observability.doctor.redis import transports
from pointledger.settings import Settings
from tests.cli.conftest import Run
from tests.ledger import Ledger

ROOT = Path(__file__).parents[2]
FINE, WARNING, DANGER = Severity.FINE, Severity.WARNING, Severity.DANGER


def strict(settings: Settings, **changed: Any) -> Settings:
    """Return settings as in production, which allow no danger."""
    return settings.model_copy(update={"allow_unsafe": frozenset(), **changed})


def found(settings: Settings, check: str) -> Finding:
    (finding,) = [finding for finding in examine(settings).findings if finding.check == check]
    return finding


# --------------------------------------------------------------------------------------- a whole report


def test_a_new_system_has_no_danger_and_each_problem_has_a_remedy(run: Run, ledger: Ledger) -> None:
    ran = run("doctor", "--json")
    assert (ran.status, ran.json["dangers"]) == (0, 0)
    checks = [finding["check"] for finding in ran.json["findings"]]
    assert len(checks) == len(set(checks)) >= 20
    for finding in ran.json["findings"]:
        assert (finding["remedy"] == "") == (finding["verdict"] == "fine"), finding
    assert ran.json["warnings"] == sum(finding["verdict"] == "warning" for finding in ran.json["findings"])


def test_findings_are_printed_with_their_remedies_below(run: Run, ledger: Ledger) -> None:
    shown = run("doctor")
    assert "FINE" in shown.stdout
    assert "beat: Start beat" in shown.stderr


def test_a_danger_exits_with_status_1(run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTLEDGER_STATEMENT_TIMEOUT_MS", "0")
    ran = run("doctor", "--json")
    assert (ran.status, ran.json["dangers"]) == (1, 1)


def test_servers_that_are_away_are_reported_without_passwords(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTLEDGER_DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/none")
    monkeypatch.setenv("POINTLEDGER_REDIS_URL", "redis://:secret@127.0.0.1:1/0")
    monkeypatch.setenv("POINTLEDGER_BROKER_URL", "amqp://me:secret@127.0.0.1:1//")
    ran = run("doctor", "--json")
    away = {finding["check"] for finding in ran.json["findings"] if finding["verdict"] == "danger"}
    assert (ran.status, away) == (1, {"postgres", "redis", "broker"})
    assert "secret" not in ran.stdout + ran.stderr


def test_an_allowed_danger_is_a_warning(ledger: Ledger) -> None:
    assert found(strict(ledger.settings), "postgres-durability").verdict is DANGER
    allowed = found(ledger.settings, "postgres-durability")
    assert allowed.verdict is WARNING
    assert "POINTLEDGER_ALLOW_UNSAFE" in allowed.seen


# ------------------------------------------------------------------------------------------ the servers


def test_e11_a_database_that_forgets_commits_is_refused(ledger: Ledger) -> None:
    with ledger.owner.begin() as connection:
        name = ledger.settings.database.rpartition("/")[2]
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    ledger.database.dispose()
    finding = found(strict(ledger.settings), "postgres-durability")
    assert finding.verdict is DANGER
    assert "synchronous_commit" in finding.seen
    with pytest.raises(UnsafeConfiguration, match="synchronous_commit"):
        require_safe(ledger.database, strict(ledger.settings))
    require_safe(ledger.database, ledger.settings)


@pytest.fixture
def evicting(ledger: Ledger) -> Iterator[None]:
    """A Valkey that evicts keys when memory runs out."""
    ledger.redis.config_set("maxmemory-policy", "allkeys-lru")
    yield
    ledger.redis.config_set("maxmemory-policy", "noeviction")


def test_e9_a_redis_that_drops_messages_is_refused(ledger: Ledger, evicting: None) -> None:
    assert found(ledger.settings, "redis-eviction").verdict is DANGER
    with pytest.raises(UnsafeConfiguration, match="noeviction"):
        require_safe(ledger.database, ledger.settings)
    allowed = ledger.settings.allow_unsafe | {"redis-eviction"}
    require_safe(ledger.database, ledger.settings.model_copy(update={"allow_unsafe": allowed}))


def test_processes_start_while_redis_is_away(ledger: Ledger) -> None:
    require_safe(ledger.database, ledger.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, FINE),
        ({"idle_timeout_ms": 10_000}, WARNING),
        ({"lock_ttl_ms": 1_000}, WARNING),
        ({"idle_timeout_ms": 0}, DANGER),
        ({"lock_timeout_ms": 0}, DANGER),
    ],
)
def test_time_outs_are_bounded_and_below_the_locks(
    ledger: Ledger, changed: dict[str, int], verdict: Severity
) -> None:
    settings = ledger.settings.model_copy(update=changed)
    assert found(settings, "time-outs").verdict is verdict
    if verdict is DANGER:
        with pytest.raises(UnsafeConfiguration, match="forever"):
            require_safe(ledger.database, settings)


@pytest.mark.parametrize(
    "command",
    [
        ("pointledger.cli", "worker"),
        ("celery", "-A", "workers", "worker", "--without-gossip", "--without-mingle"),
    ],
    ids=" ".join,
)
def test_a_worker_refuses_to_start_and_prints_the_remedy(
    settings: Settings, command: tuple[str, ...]
) -> None:
    given = {
        "POINTLEDGER_DATABASE_URL": settings.database,
        "POINTLEDGER_REDIS_URL": settings.redis,
        "POINTLEDGER_ERASURE_KEY": "k" * 32,
        "POINTLEDGER_ALLOW_UNSAFE": "[]",
        "C_FORCE_ROOT": "1",
    }
    ended = subprocess.run(
        [sys.executable, "-m", *command],
        check=False,
        cwd=ROOT,
        env=os.environ | given,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode != 0
    assert "postgres-durability: off: fsync" in ended.stderr
    assert "POINTLEDGER_ALLOW_UNSAFE" in ended.stderr


def test_the_roles_rights_are_checked(ledger: Ledger) -> None:
    assert found(ledger.settings, "postgres-role").verdict is FINE
    as_owner = ledger.settings.model_copy(update={"database_url": ledger.settings.owner})
    assert found(as_owner, "postgres-role").verdict is WARNING
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("GRANT UPDATE ON entries TO pointledger_app")
    granted = found(ledger.settings, "postgres-role")
    assert (granted.verdict, "entries" in granted.seen) == (DANGER, True)
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("REVOKE ALL ON journal FROM pointledger_app")
    assert "may not use" in found(ledger.settings, "postgres-role").seen
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("REVOKE ALL ON alembic_version FROM pointledger_app")
    assert "may not read" in found(ledger.settings, "postgres-role").seen


def test_tables_lanes_and_erasure_key_must_fit(ledger: Ledger) -> None:
    other_lanes = ledger.settings.model_copy(update={"lanes": 32})
    assert "LaneCountDiffers" in found(other_lanes, "migrations").seen
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    older = found(ledger.settings, "migrations")
    assert older.verdict is DANGER
    assert "pointledger migrate" in older.remedy


@pytest.mark.parametrize(
    ("number", "verdict"),
    [(140_020, WARNING), (150_014, WARNING), (150_015, FINE), (180_001, FINE), (190_000, WARNING)],
)
def test_postgres_versions_with_known_bugs_are_reported(number: int, verdict: Severity) -> None:
    assert versions.postgres(number).verdict is verdict


@pytest.mark.parametrize(
    ("info", "verdict"),
    [
        ({"redis_version": "7.2.4", "valkey_version": "8.1.3"}, WARNING),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, FINE),
        ({"redis_version": "7.2.10"}, WARNING),
        ({"redis_version": "7.0.15"}, FINE),
        ({"redis_version": "8.4.0"}, FINE),
        ({"redis_version": "6.2.20"}, WARNING),
    ],
)
def test_redis_versions_with_known_bugs_are_reported(info: dict[str, object], verdict: Severity) -> None:
    assert versions.redis("redis-version", info).verdict is verdict


@pytest.mark.parametrize(("seconds", "verdict"), [(0.5, FINE), (-3.0, WARNING), (90.0, WARNING)])
def test_clocks_that_differ_are_reported(seconds: float, verdict: Severity) -> None:
    assert skew("postgres-clock", seconds).verdict is verdict


@pytest.mark.parametrize(
    ("check", "url", "verdict"),
    [
        ("postgres-tls", "postgresql://u:p@db.example/l?sslmode=verify-full", FINE),
        ("postgres-tls", "postgresql://u:p@db.example/l?sslmode=require", WARNING),
        ("postgres-tls", "postgresql://u:p@db.example/l", WARNING),
        ("postgres-tls", "postgresql://u:p@127.0.0.1/l", FINE),
        ("redis-tls", "redis://:p@cache.example:6379/0", WARNING),
        ("redis-tls", "rediss://:p@cache.example:6379/0", FINE),
        ("redis-tls", "rediss://:p@cache.example:6379/0?ssl_cert_reqs=none", WARNING),
        ("broker-tls", "amqp://u:p@queue.example//", WARNING),
        ("broker-tls", "amqps://u:p@queue.example//", FINE),
    ],
)
def test_unencrypted_connections_to_other_machines_are_reported(
    check: str, url: str, verdict: Severity
) -> None:
    given = {"postgres": "database_url", "redis": "redis_url", "broker": "broker_url"}
    local = {"database_url": "postgresql://localhost/l", "redis_url": "redis://localhost/0"}
    settings = Settings(**local | {given[check.removesuffix("-tls")]: url})  # type: ignore[arg-type]
    (finding,) = [finding for finding in transports(settings) if finding.check == check]
    assert finding.verdict is verdict
    assert ":p@" not in finding.seen
