"""Every exporter returns the metrics of all processes and of the database."""

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import Histogram

from pointledger import AnyCommand, Earn, PointsClient, Spend
from pointledger.api import metrics as api_metrics
from pointledger.domain.commands.records import lane_of
from pointledger.messaging import redis_client
from pointledger.observability import counters
from pointledger.observability.counters import CommandHistogram, CounterFlusher
from pointledger.observability.metrics import Exporter, exposition
from pointledger.settings import Settings
from pointledger.storage.queue import failures, journal
from pointledger_demo.processes import ProcessGroup
from tests.api.environment import http_settings, open_api, open_for_operators
from tests.api.issuer import Issuer
from tests.cli.conftest import Run
from tests.faults.conftest import ROOT
from tests.ledger import Ledger
from tests.waiting import wait_until

_ACCEPTED = "pointledger_http_accept_seconds_count"


@pytest.fixture
def exporter(ledger: Ledger) -> Exporter:
    return Exporter(ledger.database, ledger.redis, ledger.settings)


@pytest.fixture
def flusher(ledger: Ledger) -> CounterFlusher:
    """A flusher that sends only what is counted from now on, not the counts of earlier tests."""
    opened = CounterFlusher(ledger.redis, ledger.settings)
    opened.flush()
    ledger.redis.flushdb()
    return opened


def read(exporter: Exporter) -> dict[str, float]:
    """Return values by name with labels, as the text shows them."""
    found = re.findall(r"^(\w+(?:\{.*?\})?) (\S+)$", exposition(exporter).decode(), re.MULTILINE)
    return {name: float(value) for name, value in found}


def earn(user: str) -> AnyCommand:
    return Earn(tenant_id="shop", user_id=user, amount=5)


def test_any_process_exports_the_counts_of_all(
    ledger: Ledger, exporter: Exporter, flusher: CounterFlusher
) -> None:
    ledger.apply(earn("anna"), earn("anna"), Spend(tenant_id="shop", user_id="nobody", amount=1))
    flusher.flush()
    flusher.flush()  # nothing is counted twice
    metrics = read(exporter)
    assert metrics['pointledger_outcomes_total{reason="",state="applied"}'] == 2
    assert metrics['pointledger_outcomes_total{reason="ACCOUNT_NOT_FOUND",state="refused"}'] == 1
    assert metrics["pointledger_batch_commands_sum"] == 3
    assert metrics["pointledger_batch_commands_count"] == 1, "one batch serves both lanes"
    assert metrics["pointledger_batch_seconds_count"] == 1
    assert metrics["pointledger_outcome_seconds_count"] == 3, "each command waited"
    assert metrics["pointledger_outcome_seconds_sum"] >= 3 * metrics["pointledger_batch_seconds_sum"]
    assert metrics["pointledger_lost_doorbells_total"] == 0, "exported, and 0 when healthy"


def test_two_processes_add_up_and_buckets_stay_in_order(
    ledger: Ledger, exporter: Exporter, flusher: CounterFlusher
) -> None:
    ledger.apply(earn("anna"))
    flusher.flush()
    CounterFlusher(ledger.redis, ledger.settings).flush()  # a second process with the same counts
    metrics = read(exporter)
    assert metrics['pointledger_outcomes_total{reason="",state="applied"}'] > 1
    bounds = re.findall(r'batch_commands_bucket\{le="([^"]+)"\}', exposition(exporter).decode())
    assert [float(bound) for bound in bounds] == sorted(float(bound) for bound in bounds)
    assert bounds[-1] == "+Inf"


def test_database_metrics_are_read_on_request(ledger: Ledger, exporter: Exporter) -> None:
    with PointsClient.connect(ledger.settings) as client:
        client.enqueue_many([earn("anna"), earn("anna")])
    metrics = read(exporter)
    lane = lane_of("shop", "anna", ledger.settings.lanes)
    assert metrics["pointledger_commands_waiting"] == 2
    assert metrics[f'pointledger_lane_lag_seconds{{lane="{lane}"}}'] > 0
    assert sum(name.startswith("pointledger_lane_lag") for name in metrics) == ledger.settings.lanes
    assert (metrics["pointledger_outbox_events"], metrics["pointledger_commands_dead"]) == (0, 0)
    assert metrics['pointledger_up{server="postgres"}'] == 1
    assert metrics['pointledger_up{server="redis"}'] == 1
    # A session reports its statistics when it ends; while it is idle, up to ten seconds later.
    wait_until(
        lambda: read(exporter)["pointledger_commands_accepted_total"] >= 2, "Postgres' statistics are updated"
    )


def test_open_runs_and_dead_commands_are_exported(ledger: Ledger, exporter: Exporter) -> None:
    command = earn("anna")
    ledger.client.enqueue(command)
    with ledger.database.begin() as connection:
        lane = journal.lane_of(connection, command.id)
        assert lane is not None
        failures.record_failure(connection, lane, command.id, "Boom")
        failures.mark_dead(connection, lane, command.id, block=False)
        connection.exec_driver_sql(
            """INSERT INTO job_runs (job, tenant_id, local_date, as_of, leased_until, found)
               VALUES ('expire-points', 'shop', '2026-01-01', '2026-01-01T00:00Z', clock_timestamp(), 7)"""
        )
    metrics = read(exporter)
    assert metrics["pointledger_commands_dead"] == 1
    assert metrics['pointledger_job_runs_open{job="expire-points"}'] == 1
    assert metrics['pointledger_job_users_found{job="expire-points"}'] == 7
    assert metrics['pointledger_job_oldest_age_seconds{job="expire-points"}'] > 0


def test_a_server_that_is_away_is_reported_and_the_others_metrics_follow(ledger: Ledger) -> None:
    away = ledger.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    metrics = read(Exporter(ledger.database, redis_client.connect(away), away))
    assert metrics['pointledger_up{server="postgres"}'] == 1
    assert metrics['pointledger_up{server="redis"}'] == 0
    assert metrics["pointledger_commands_waiting"] == 0


def test_counting_survives_a_redis_that_is_away(
    ledger: Ledger, exporter: Exporter, flusher: CounterFlusher
) -> None:
    away = CounterFlusher(
        redis_client.connect(ledger.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})),
        ledger.settings,
    )
    counters.RELAYED.inc(3)
    away.flush()  # logs the outage and raises nothing
    flusher.flush()
    assert read(exporter)["pointledger_events_relayed_total"] == 3


def test_the_command_line_prints_metrics(run: Run, ledger: Ledger) -> None:
    assert "# TYPE pointledger_lane_lag_seconds gauge" in run("metrics").stdout
    metrics = run("metrics", "--json").json
    assert metrics["pointledger_commands_waiting"] == [
        {"name": "pointledger_commands_waiting", "labels": {}, "value": 0}
    ]


def test_metrics_are_served_until_sigterm(environment: None, ledger: Ledger) -> None:
    serving = [sys.executable, "-m", "pointledger.cli", "metrics", "--port", "0"]
    with subprocess.Popen(serving, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            url = re.search(r"http://\S+/metrics", process.stderr.readline())
            assert url
            with urllib.request.urlopen(url[0]) as answer:
                assert b"pointledger_commands_waiting 0.0" in answer.read()
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_operators_get_the_ledgers_metrics_and_those_of_the_api(settings: Settings, tmp_path: Path) -> None:
    issuer = Issuer()
    given = http_settings(settings, issuer, tmp_path)
    with open_api(given, issuer) as api, open_for_operators(given) as url:
        before = api_metrics.REGISTRY.get_sample_value(_ACCEPTED) or 0.0
        api.ledger.tenant()
        api.earn("anna", 5)
        assert api_metrics.REGISTRY.get_sample_value(_ACCEPTED) == before + 1
        api.get("/healthz")
        answer = httpx.get(f"{url}/metrics")
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert "pointledger_http_requests_total" in answer.text
        assert "pointledger_commands_waiting 0.0" in answer.text
        assert api.client.get("/metrics").status_code == 404


@pytest.fixture
def system(ledger: Ledger, tmp_path: Path) -> Iterator[ProcessGroup]:
    running = ProcessGroup(ROOT, data=tmp_path, settings=ledger.settings, workers=1)
    running.start()
    yield running
    running.stop()


def test_a_lost_doorbell_is_counted_and_an_answered_one_is_not(
    ledger: Ledger, exporter: Exporter, system: ProcessGroup
) -> None:
    def applied() -> float:
        return read(exporter).get('pointledger_outcomes_total{reason="",state="applied"}', 0)

    ledger.client.wait(ledger.client.enqueue(earn("anna")), 30)
    wait_until(lambda: applied() == 1, "the worker has flushed its counters")
    assert read(exporter)["pointledger_lost_doorbells_total"] == 0
    wait_until(lambda: read(exporter).get("pointledger_beat_age_seconds", 99) < 30, "beat runs")

    with ledger.database.begin() as connection:  # this rings no doorbell
        task_id = ledger.client.enqueue(earn("ben"), connection)
    ledger.client.wait(task_id, 30)
    wait_until(lambda: read(exporter)["pointledger_lost_doorbells_total"] == 1, "beat rang")


def test_tenants_have_labels_of_their_own_up_to_a_bound(
    ledger: Ledger, exporter: Exporter, flusher: CounterFlusher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "_tenants", {"shop"})
    monkeypatch.setattr(counters, "_MOST_TENANTS", 1)
    others = [Earn(tenant_id=tenant_id, user_id="anna", amount=5) for tenant_id in ("till", "bank")]
    ledger.apply(earn("anna"), earn("ben"), *others)
    flusher.flush()
    metrics = read(exporter)
    assert metrics['pointledger_tenant_commands_total{tenant="shop"}'] == 2
    assert metrics['pointledger_tenant_commands_total{tenant="(others)"}'] == 2
    assert metrics['pointledger_tenant_seconds_total{tenant="shop"}'] > 0
    ledger.client.enqueue(Earn(tenant_id="till", user_id="ben", amount=5))
    assert read(exporter)['pointledger_tenant_commands_waiting{tenant="till"}'] == 1


def test_equal_observations_together_count_like_each_by_itself() -> None:
    together = CommandHistogram("some", "Some", registry=None, buckets=(0.5, 1, 2))
    each = Histogram("some", "Some", registry=None, buckets=(0.5, 1, 2))
    for amount, times in ((0.1, 3), (0.5, 2), (1.5, 1), (9.0, 4)):
        together.observe_many(amount, times)
        for _ in range(times):
            each.observe(amount)
    assert _values(together) == pytest.approx(_values(each))


def _values(histogram: Histogram) -> dict[tuple[str, str], float]:
    samples = [sample for metric in histogram.collect() for sample in metric.samples]
    return {(one.name, one.labels.get("le", "")): one.value for one in samples if "created" not in one.name}
