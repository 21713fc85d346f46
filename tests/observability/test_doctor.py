"""The doctor finds what is wrong, says what to do, and nothing starts with what is dangerous."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from pointledger import Earn
from pointledger.domain.values.actor import By
from pointledger.errors import UnsafeConfiguration
from pointledger.ids import parse_id
from pointledger.observability.doctor import Finding, Verdict, examine, require_safe, versions
from pointledger.observability.doctor.postgres import skew
from pointledger.observability.doctor.redis import transports
from pointledger.observability.doctor.work import beat
from pointledger.settings import Settings
from pointledger.storage.queue import dead_letters, failures, journal
from tests.cli.conftest import Run
from tests.ledger import Ledger

ROOT = Path(__file__).parents[2]
LANES_QUEUE = f"{Settings().redis_prefix}:points.lanes"
FINE, WARNING, DANGER = Verdict.FINE, Verdict.WARNING, Verdict.DANGER


def strict(settings: Settings, **changed: Any) -> Settings:
    """As in production: nothing that is dangerous is allowed."""
    return settings.model_copy(update={"allow_unsafe": frozenset(), **changed})


def found(settings: Settings, check: str) -> Finding:
    (finding,) = [finding for finding in examine(settings).findings if finding.check == check]
    return finding


# --------------------------------------------------------------------------------------- a whole report


def test_a_new_system_has_no_danger_and_each_finding_says_what_to_do(run: Run, ledger: Ledger) -> None:
    ran = run("doctor", "--json")
    assert (ran.status, ran.json["dangers"]) == (0, 0)
    checks = [finding["check"] for finding in ran.json["findings"]]
    assert len(checks) == len(set(checks)) >= 20
    for finding in ran.json["findings"]:
        assert (finding["remedy"] == "") == (finding["verdict"] == "fine"), finding
    assert ran.json["warnings"] == sum(finding["verdict"] == "warning" for finding in ran.json["findings"])


def test_people_see_the_findings_and_below_them_what_to_do(run: Run, ledger: Ledger) -> None:
    shown = run("doctor")
    assert "FINE" in shown.stdout
    assert "beat: Start beat" in shown.stderr


def test_a_dangerous_finding_ends_with_1(run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTLEDGER_STATEMENT_TIMEOUT_MS", "0")
    ran = run("doctor", "--json")
    assert (ran.status, ran.json["dangers"]) == (1, 1)


def test_servers_that_are_away_are_told_without_their_passwords(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTLEDGER_DATABASE_URL", "postgresql://me:secret@127.0.0.1:1/none")
    monkeypatch.setenv("POINTLEDGER_REDIS_URL", "redis://:secret@127.0.0.1:1/0")
    monkeypatch.setenv("POINTLEDGER_BROKER_URL", "amqp://me:secret@127.0.0.1:1//")
    ran = run("doctor", "--json")
    away = {finding["check"] for finding in ran.json["findings"] if finding["verdict"] == "danger"}
    assert (ran.status, away) == (1, {"postgres", "redis", "broker"})
    assert "secret" not in ran.stdout + ran.stderr


def test_what_is_allowed_is_a_warning(ledger: Ledger) -> None:
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
    """Valkey drops what it likes when memory is short."""
    ledger.redis.config_set("maxmemory-policy", "allkeys-lru")
    yield
    ledger.redis.config_set("maxmemory-policy", "noeviction")


def test_e9_a_redis_that_drops_messages_is_refused(ledger: Ledger, evicting: None) -> None:
    assert found(ledger.settings, "redis-eviction").verdict is DANGER
    with pytest.raises(UnsafeConfiguration, match="noeviction"):
        require_safe(ledger.database, ledger.settings)
    allowed = ledger.settings.allow_unsafe | {"redis-eviction"}
    require_safe(ledger.database, ledger.settings.model_copy(update={"allow_unsafe": allowed}))


def test_a_redis_that_is_away_keeps_nobody_from_starting(ledger: Ledger) -> None:
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
    ledger: Ledger, changed: dict[str, int], verdict: Verdict
) -> None:
    settings = ledger.settings.model_copy(update=changed)
    assert found(settings, "time-outs").verdict is verdict
    if verdict is DANGER:
        with pytest.raises(UnsafeConfiguration, match="for ever"):
            require_safe(ledger.database, settings)


def test_a_worker_does_not_start_and_says_what_to_do(settings: Settings) -> None:
    given = {
        "POINTLEDGER_DATABASE_URL": settings.database,
        "POINTLEDGER_REDIS_URL": settings.redis,
        "POINTLEDGER_ERASURE_KEY": "k" * 32,
        "POINTLEDGER_ALLOW_UNSAFE": "[]",
        "C_FORCE_ROOT": "1",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "workers", "worker", "--without-gossip", "--without-mingle"],
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


def test_the_role_is_looked_at(ledger: Ledger) -> None:
    assert found(ledger.settings, "postgres-role").verdict is FINE
    as_owner = ledger.settings.model_copy(update={"database_url": ledger.settings.owner})
    assert found(as_owner, "postgres-role").verdict is WARNING
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("GRANT UPDATE ON entries TO pointledger_app")
    granted = found(ledger.settings, "postgres-role")
    assert (granted.verdict, "entries" in granted.seen) == (DANGER, True)
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("REVOKE ALL ON journal FROM pointledger_app")
    assert "may not work" in found(ledger.settings, "postgres-role").seen
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
def test_postgres_versions_with_known_bugs_are_told(number: int, verdict: Verdict) -> None:
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
def test_redis_versions_with_known_bugs_are_told(info: dict[str, object], verdict: Verdict) -> None:
    assert versions.redis("redis-version", info).verdict is verdict


@pytest.mark.parametrize(("seconds", "verdict"), [(0.5, FINE), (-3.0, WARNING), (90.0, WARNING)])
def test_clocks_that_differ_are_told(seconds: float, verdict: Verdict) -> None:
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
def test_connections_that_leave_the_machine_are_encrypted(check: str, url: str, verdict: Verdict) -> None:
    given = {"postgres": "database_url", "redis": "redis_url", "broker": "broker_url"}
    local = {"database_url": "postgresql://localhost/l", "redis_url": "redis://localhost/0"}
    settings = Settings(**local | {given[check.removesuffix("-tls")]: url})  # type: ignore[arg-type]
    (finding,) = [finding for finding in transports(settings) if finding.check == check]
    assert finding.verdict is verdict
    assert ":p@" not in finding.seen


# ------------------------------------------------------------------------------------------- what waits


def test_what_somebody_should_look_at_is_counted(ledger: Ledger) -> None:
    task_id = ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=9))
    with ledger.database.begin() as connection:
        lane = journal.lane_of(connection, parse_id(task_id))
        assert lane is not None
        failures.charge(connection, lane, parse_id(task_id), "Boom")
    assert found(ledger.settings, "failing-commands").seen.startswith("1 ")
    with ledger.database.begin() as connection:
        failures.bury(connection, lane, parse_id(task_id), hold=False)
        dead_letters.keep(
            connection, door="celery", task_id=None, raw=b"{}", reason="INVALID_COMMAND", error="-"
        )
    ledger.client.pause("shop", By())
    told = {finding.check: finding for finding in examine(ledger.settings).findings}
    for check in ("dead-commands", "letters", "paused-tenants"):
        assert told[check].verdict is WARNING
        assert told[check].seen.startswith("1 ")
    assert "pointledger dead list" in told["dead-commands"].remedy
    assert told["failing-commands"].verdict is FINE


@pytest.mark.parametrize(("minutes", "verdict"), [(0, FINE), (0.5, WARNING), (5, DANGER)])
def test_what_waits_too_long_is_told(ledger: Ledger, minutes: float, verdict: Verdict) -> None:
    ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=9))
    age_the_journal(ledger, minutes)
    assert found(ledger.settings, "oldest-waiting").verdict is verdict
    ledger.client.pause("shop", By())
    assert found(ledger.settings, "oldest-waiting").verdict is FINE, "a paused tenant waits by intent"


def test_a_doorbell_that_nobody_answers_is_told(ledger: Ledger) -> None:
    assert found(ledger.settings, "doorbells").seen == "none waits"
    ledger.doorbells.ring([3])
    rung = found(ledger.settings, "doorbells")
    assert (rung.verdict, rung.seen[:7]) == (FINE, "1 wait,")
    with redis.Redis.from_url(ledger.settings.broker) as client:
        message = json.loads(client.lpop(LANES_QUEUE))
        message["headers"]["expires"] = (datetime.now(UTC) + timedelta(seconds=40)).isoformat()
        client.rpush(LANES_QUEUE, json.dumps(message))
    told = found(ledger.settings, "doorbells")
    assert told.verdict is WARNING
    assert told.seen.startswith("1 wait, 2"), "a ring lives for a minute; it has 40 seconds left"
    assert "celery -A workers worker" in told.remedy


@pytest.mark.parametrize("message", ["[]", "{", '{"headers": {"expires": 7}}'])
def test_what_is_no_doorbell_in_their_queue_is_told(ledger: Ledger, message: str) -> None:
    with redis.Redis.from_url(ledger.settings.broker) as client:
        client.rpush(LANES_QUEUE, message)
    told = found(ledger.settings, "doorbells")
    assert (told.verdict, "no doorbell" in told.seen) == (WARNING, True)


def age_the_journal(ledger: Ledger, minutes: float) -> None:
    """As if all had been accepted so long ago."""
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE journal DISABLE TRIGGER USER")
        connection.exec_driver_sql(
            f"UPDATE journal SET accepted_at = accepted_at - {minutes} * interval '1 minute'"
        )


def test_a_full_backlog_is_dangerous_and_half_of_one_a_warning(ledger: Ledger) -> None:
    ledger.client.enqueue_many([Earn(tenant_id="shop", user_id=f"u{n}", amount=9) for n in range(3)])
    for limit, verdict in [(100, FINE), (5, WARNING), (3, DANGER)]:
        settings = ledger.settings.model_copy(update={"backlog_limit": limit})
        assert found(settings, "backlog").verdict is verdict


def test_a_beat_that_was_heard_is_fine(ledger: Ledger) -> None:
    assert found(ledger.settings, "beat").verdict is WARNING
    ledger.doorbells.hear_beat()
    assert found(ledger.settings, "beat").verdict is FINE
    assert beat(31.0).verdict is WARNING


def test_nightly_runs_that_stand_still_are_told(ledger: Ledger) -> None:
    assert found(ledger.settings, "periodic-runs").verdict is FINE
    with ledger.database.begin() as connection:
        connection.exec_driver_sql(
            """INSERT INTO job_runs (job, tenant_id, local_date, as_of, leased_until)
               VALUES ('expire-points', 'shop', '2026-01-01', '2026-01-01T00:00Z', clock_timestamp())"""
        )
    late = found(ledger.settings, "periodic-runs")
    assert (late.verdict, "expire-points" in late.seen) == (WARNING, True)


def test_an_outbox_that_nobody_sends_is_told(ledger: Ledger) -> None:
    ledger.tenant(events="all")
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=9))
    assert found(ledger.settings, "outbox").verdict is FINE, "it has not waited long"
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("UPDATE outbox SET recorded_at = recorded_at - interval '5 minutes'")
    assert found(ledger.settings, "outbox").verdict is WARNING


def test_commands_in_lists_that_nobody_reads_are_told(ledger: Ledger) -> None:
    assert found(ledger.settings, "stray-commands").verdict is FINE
    with Celery(broker=ledger.settings.broker, set_as_current=False) as app:
        app.send_task("points.earn", queue="points.commands", priority=5)
        assert found(ledger.settings, "stray-commands").verdict is FINE, "workers read this one"
    with Celery(broker=ledger.settings.broker, set_as_current=False) as prefixed:
        prefixed.conf.broker_transport_options = {"global_keyprefix": "shop:"}
        prefixed.send_task("points.earn", queue="points.commands")
    stray = found(ledger.settings, "stray-commands")
    assert (stray.verdict, stray.seen) == (
        WARNING,
        "messages that no worker reads: 1 in 'shop:points.commands'",
    )
    assert "redis-cli LMOVE KEY points.commands RIGHT LEFT" in stray.remedy


def test_callbacks_that_nobody_sends_or_that_cannot_be_sent_are_told(ledger: Ledger) -> None:
    assert found(ledger.settings, "callbacks").verdict is FINE
    due = """INSERT INTO callbacks (task_id, command_id, kind, place, message, due_at, try_at, error)
             VALUES (gen_random_uuid(), gen_random_uuid(), 'link', 0, '{}', %s, %s, %s)"""
    for minutes, error, verdict in [(0, None, FINE), (5, None, WARNING), (0, "KeyError: x", WARNING)]:
        moment = datetime.now(UTC) - timedelta(minutes=minutes)
        with ledger.database.begin() as connection:
            connection.exec_driver_sql("DELETE FROM callbacks")
            connection.exec_driver_sql(due, (moment, moment, error))
        told = found(ledger.settings, "callbacks")
        assert told.verdict is verdict, told
    assert told.seen == "1 tasks and 0 results are due, for 0 s at most; 1 could not be sent"
