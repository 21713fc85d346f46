"""Metrics: what all processes have done and what waits, whoever is asked."""

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pointledger import AnyCommand, Earn, Spend
from pointledger.domain.commands.records import lane_of
from pointledger.messaging import redis_client
from pointledger.observability import counters
from pointledger.observability.counters import Sender
from pointledger.observability.metrics import Exporter, exposition
from pointledger.settings import Settings
from pointledger.storage.queue import failures, journal
from pointledger_demo.system import System
from tests.api.issuer import Issuer
from tests.api.served import http_settings, serving
from tests.cli.conftest import Run
from tests.faults.conftest import ROOT
from tests.ledger import Ledger
from tests.waiting import wait_until


@pytest.fixture
def exporter(ledger: Ledger) -> Exporter:
    return Exporter(ledger.database, ledger.redis, ledger.settings)


@pytest.fixture
def sender(ledger: Ledger) -> Sender:
    """A process that begins to count now: what others of this test run have counted is not its own."""
    opened = Sender(ledger.redis, ledger.settings)
    opened.send()
    ledger.redis.flushdb()
    return opened


def read(exporter: Exporter) -> dict[str, float]:
    """Values by name with labels, as in the text."""
    found = re.findall(r"^(\w+(?:\{.*?\})?) (\S+)$", exposition(exporter).decode(), re.MULTILINE)
    return {name: float(value) for name, value in found}


def earn(user: str) -> AnyCommand:
    return Earn(tenant_id="shop", user_id=user, amount=5)


def test_what_a_process_applied_and_refused_is_told_by_any_other(
    ledger: Ledger, exporter: Exporter, sender: Sender
) -> None:
    ledger.apply(earn("anna"), earn("anna"), Spend(tenant_id="shop", user_id="nobody", amount=1))
    sender.send()
    sender.send()  # nothing is counted twice
    told = read(exporter)
    assert told['pointledger_outcomes_total{reason="",state="applied"}'] == 2
    assert told['pointledger_outcomes_total{reason="ACCOUNT_NOT_FOUND",state="refused"}'] == 1
    assert told["pointledger_batch_commands_sum"] == 3
    assert told["pointledger_batch_commands_count"] == 2
    assert told["pointledger_batch_seconds_count"] == 2
    assert told["pointledger_lanes_rescued_total"] == 0, "0 when healthy, and said"


def test_two_processes_add_up_and_buckets_stay_in_order(
    ledger: Ledger, exporter: Exporter, sender: Sender
) -> None:
    ledger.apply(earn("anna"))
    sender.send()
    Sender(ledger.redis, ledger.settings).send()  # another process that has counted all there is
    told = read(exporter)
    assert told['pointledger_outcomes_total{reason="",state="applied"}'] > 1
    bounds = re.findall(r'batch_commands_bucket\{le="([^"]+)"\}', exposition(exporter).decode())
    assert [float(bound) for bound in bounds] == sorted(float(bound) for bound in bounds)
    assert bounds[-1] == "+Inf"


def test_what_the_database_knows_is_asked_when_somebody_asks(ledger: Ledger, exporter: Exporter) -> None:
    ledger.client.enqueue_many([earn("anna"), earn("anna")])
    told = read(exporter)
    lane = lane_of("shop", "anna", ledger.settings.lanes)
    assert told["pointledger_commands_waiting"] == 2
    assert told[f'pointledger_lane_lag_seconds{{lane="{lane}"}}'] > 0
    assert sum(name.startswith("pointledger_lane_lag") for name in told) == ledger.settings.lanes
    assert (told["pointledger_outbox_events"], told["pointledger_commands_dead"]) == (0, 0)
    assert (told['pointledger_up{server="postgres"}'], told['pointledger_up{server="redis"}']) == (1, 1)
    wait_until(
        lambda: read(exporter)["pointledger_commands_accepted_total"] >= 2, "Postgres' statistics tell it"
    )


def test_open_runs_and_dead_commands_are_told(ledger: Ledger, exporter: Exporter) -> None:
    command = earn("anna")
    ledger.client.enqueue(command)
    with ledger.database.begin() as connection:
        lane = journal.lane_of(connection, command.id)
        assert lane is not None
        failures.charge(connection, lane, command.id, "Boom")
        failures.bury(connection, lane, command.id, hold=False)
        connection.exec_driver_sql(
            """INSERT INTO job_runs (job, tenant_id, local_date, as_of, leased_until, found)
               VALUES ('expire-points', 'shop', '2026-01-01', '2026-01-01T00:00Z', clock_timestamp(), 7)"""
        )
    told = read(exporter)
    assert told["pointledger_commands_dead"] == 1
    assert told['pointledger_sweep_runs_open{job="expire-points"}'] == 1
    assert told['pointledger_sweep_found{job="expire-points"}'] == 7
    assert told['pointledger_sweep_seconds{job="expire-points"}'] > 0


def test_what_is_away_says_so_and_the_rest_is_told(ledger: Ledger) -> None:
    away = ledger.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    told = read(Exporter(ledger.database, redis_client.connect(away), away))
    assert (told['pointledger_up{server="postgres"}'], told['pointledger_up{server="redis"}']) == (1, 0)
    assert told["pointledger_commands_waiting"] == 0


def test_counting_survives_a_redis_that_is_away(ledger: Ledger, exporter: Exporter, sender: Sender) -> None:
    away = Sender(
        redis_client.connect(ledger.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})),
        ledger.settings,
    )
    counters.RELAYED.inc(3)
    away.send()  # says so, and raises nothing
    sender.send()
    assert read(exporter)["pointledger_events_relayed_total"] == 3


def test_the_command_line_prints_them(run: Run, ledger: Ledger) -> None:
    assert "# TYPE pointledger_lane_lag_seconds gauge" in run("metrics").stdout
    told = run("metrics", "--json").json
    assert told["pointledger_commands_waiting"] == [
        {"name": "pointledger_commands_waiting", "labels": {}, "value": 0}
    ]


def test_they_are_served_until_the_program_is_told_to_stop(environment: None, ledger: Ledger) -> None:
    serving = [sys.executable, "-m", "pointledger.cli", "metrics", "--port", "0"]
    with subprocess.Popen(serving, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            told = re.search(r"http://\S+/metrics", process.stderr.readline())
            assert told
            with urllib.request.urlopen(told[0]) as answer:
                assert b"pointledger_commands_waiting 0.0" in answer.read()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_the_gateway_tells_the_whole_ledgers_beside_its_own(settings: Settings, tmp_path: Path) -> None:
    issuer = Issuer()
    with serving(http_settings(settings, issuer, tmp_path), issuer) as served:
        served.get("/healthz")
        told = served.get("/metrics").text
        assert "pointledger_http_requests_total" in told
        assert "pointledger_commands_waiting 0.0" in told
        with urllib.request.urlopen(f"{served.url}/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain")


@pytest.fixture
def system(ledger: Ledger, tmp_path: Path) -> Iterator[System]:
    running = System(ROOT, data=tmp_path, settings=ledger.settings, workers=1)
    running.start()
    yield running
    running.stop()


def test_a_lost_doorbell_is_rescued_and_counted_and_a_heard_one_is_not(
    ledger: Ledger, exporter: Exporter, system: System
) -> None:
    def applied() -> float:
        return read(exporter).get('pointledger_outcomes_total{reason="",state="applied"}', 0)

    ledger.client.wait(ledger.client.enqueue(earn("anna")), 30)
    wait_until(lambda: applied() == 1, "the worker has told what it did")
    assert read(exporter)["pointledger_lanes_rescued_total"] == 0
    wait_until(lambda: read(exporter).get("pointledger_beat_seconds", 99) < 30, "beat is heard")

    with ledger.database.begin() as connection:  # nobody rings
        task_id = ledger.client.enqueue(earn("ben"), connection)
    ledger.client.wait(task_id, 30)
    wait_until(lambda: read(exporter)["pointledger_lanes_rescued_total"] == 1, "it was beat's ring")
