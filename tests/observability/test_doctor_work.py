"""The doctor checks pending and dead work, and whether workers, beat and relays run."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
import redis
from celery import Celery

from pointledger import Earn
from pointledger.domain.values.actor import Actor
from pointledger.ids import parse_id
from pointledger.observability.doctor import Severity, examine, work
from pointledger.observability.doctor.work import beat
from pointledger.settings import Settings
from pointledger.storage.queue import dead_letters, failures, journal
from tests.ledger import Ledger
from tests.observability.test_doctor import DANGER, FINE, WARNING, found

LANES_QUEUE = f"{Settings().redis_prefix}:points.lanes"


def test_dead_failing_and_paused_work_is_counted(ledger: Ledger) -> None:
    task_id = ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=9))
    with ledger.database.begin() as connection:
        lane = journal.lane_of(connection, parse_id(task_id))
        assert lane is not None
        failures.record_failure(connection, lane, parse_id(task_id), "Boom")
    assert found(ledger.settings, "failing-commands").seen.startswith("1 ")
    with ledger.database.begin() as connection:
        failures.mark_dead(connection, lane, parse_id(task_id), block=False)
        dead_letters.keep(
            connection, entry_point="celery", task_id=None, raw=b"{}", reason="INVALID_COMMAND", error="-"
        )
    ledger.client.pause("shop", Actor())
    findings = {finding.check: finding for finding in examine(ledger.settings).findings}
    for check in ("dead-commands", "dead-letters", "paused-tenants"):
        assert findings[check].verdict is WARNING
        assert findings[check].seen.startswith("1 ")
    assert "pointledger dead list" in findings["dead-commands"].remedy
    assert findings["failing-commands"].verdict is FINE


@pytest.mark.parametrize(("minutes", "verdict"), [(0, FINE), (0.5, WARNING), (5, DANGER)])
def test_a_command_that_waits_too_long_is_reported(ledger: Ledger, minutes: float, verdict: Severity) -> None:
    ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=9))
    age_the_journal(ledger, minutes)
    assert found(ledger.settings, "oldest-waiting").verdict is verdict
    ledger.client.pause("shop", Actor())
    assert found(ledger.settings, "oldest-waiting").verdict is FINE, "a paused tenant's commands do not count"


def test_an_unanswered_doorbell_is_reported(ledger: Ledger) -> None:
    assert found(ledger.settings, "doorbells").seen == "none pending"
    ledger.doorbells.ring([3])
    rung = found(ledger.settings, "doorbells")
    assert rung.verdict is FINE
    assert rung.seen.startswith("1 pending, ")
    with redis.Redis.from_url(ledger.settings.broker) as client:
        message = json.loads(client.lpop(LANES_QUEUE))
        message["headers"]["expires"] = (datetime.now(UTC) + timedelta(seconds=40)).isoformat()
        client.rpush(LANES_QUEUE, json.dumps(message))
    late = found(ledger.settings, "doorbells")
    assert late.verdict is WARNING
    (seconds,) = re.findall(r"^1 pending, oldest (\d+)", late.seen)
    assert 20 <= int(seconds) <= 60, "a ring expires after 60 s; 40 s are left"
    assert "pointledger worker" in late.remedy


@pytest.mark.parametrize("message", ["[]", "{", '{"headers": {"expires": 7}}'])
def test_a_message_that_is_no_doorbell_is_reported(ledger: Ledger, message: str) -> None:
    with redis.Redis.from_url(ledger.settings.broker) as client:
        client.rpush(LANES_QUEUE, message)
    stray = found(ledger.settings, "doorbells")
    assert (stray.verdict, "not a doorbell" in stray.seen) == (WARNING, True)


def age_the_journal(ledger: Ledger, minutes: float) -> None:
    """Date every acceptance back by some minutes."""
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE journal DISABLE TRIGGER USER")
        connection.exec_driver_sql(
            f"UPDATE journal SET accepted_at = accepted_at - {minutes} * interval '1 minute'"
        )


def test_a_full_backlog_is_a_danger_and_a_half_full_one_a_warning(ledger: Ledger) -> None:
    ledger.client.enqueue_many([Earn(tenant_id="shop", user_id=f"u{n}", amount=9) for n in range(3)])
    for limit, verdict in [(100, FINE), (5, WARNING), (3, DANGER)]:
        settings = ledger.settings.model_copy(update={"backlog_limit": limit})
        assert found(settings, "backlog").verdict is verdict


def test_a_recent_heartbeat_is_fine(ledger: Ledger) -> None:
    assert found(ledger.settings, "beat").verdict is WARNING
    ledger.doorbells.record_beat()
    assert found(ledger.settings, "beat").verdict is FINE
    assert beat(31.0).verdict is WARNING


def test_late_nightly_runs_are_reported(ledger: Ledger) -> None:
    assert found(ledger.settings, "periodic-runs").verdict is FINE
    with ledger.database.begin() as connection:
        connection.exec_driver_sql(
            """INSERT INTO job_runs (job, tenant_id, local_date, as_of, leased_until)
               VALUES ('expire-points', 'shop', '2026-01-01', '2026-01-01T00:00Z', clock_timestamp())"""
        )
    late = found(ledger.settings, "periodic-runs")
    assert (late.verdict, "expire-points" in late.seen) == (WARNING, True)


def test_an_outbox_without_a_relay_is_reported(ledger: Ledger) -> None:
    ledger.tenant(events="all")
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=9))
    assert found(ledger.settings, "outbox").verdict is FINE, "it is new"
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("UPDATE outbox SET recorded_at = recorded_at - interval '5 minutes'")
    assert found(ledger.settings, "outbox").verdict is WARNING


def test_commands_in_unread_lists_are_reported(ledger: Ledger) -> None:
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


def test_late_and_failing_callbacks_are_reported(ledger: Ledger) -> None:
    assert found(ledger.settings, "callbacks").verdict is FINE
    due = """INSERT INTO callbacks (task_id, command_id, kind, place, message, due_at, try_at, error)
             VALUES (gen_random_uuid(), gen_random_uuid(), 'link', 0, '{}', %s, %s, %s)"""
    for minutes, error, verdict in [(0, None, FINE), (5, None, WARNING), (0, "KeyError: x", WARNING)]:
        moment = datetime.now(UTC) - timedelta(minutes=minutes)
        with ledger.database.begin() as connection:
            connection.exec_driver_sql("DELETE FROM callbacks")
            connection.exec_driver_sql(due, (moment, moment, error))
        late = found(ledger.settings, "callbacks")
        assert late.verdict is verdict, late
    assert re.fullmatch(r"1 tasks and 0 results due, oldest \d+ s; 1 failed", late.seen)


def test_a_session_that_holds_rows_for_long_is_named(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_LOCK_SECONDS", 0.0)
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=9))
    assert found(ledger.settings, "row-locks").verdict is FINE
    with ledger.owner.begin() as stranger:
        stranger.exec_driver_sql("SET application_name = 'a person in psql'")
        stranger.exec_driver_sql("SELECT * FROM accounts FOR UPDATE")
        finding = found(ledger.settings, "row-locks")
        assert finding.verdict is WARNING
        assert "a person in psql" in finding.seen


def test_the_tenants_with_the_largest_backlogs_are_named(ledger: Ledger) -> None:
    settings = ledger.settings.model_copy(update={"backlog_limit": 20, "batch_size": 1})
    for tenant_id, count in (("big", 10), ("shop", 1)):
        ledger.client.enqueue_many(
            [Earn(tenant_id=tenant_id, user_id=f"u{number}", amount=1) for number in range(count)]
        )
    finding = found(settings, "backlog")
    assert "most of big (10), shop (1): new commands of big are not accepted" in finding.seen
    assert finding.verdict is DANGER
