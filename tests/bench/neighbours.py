"""Measures the latency of tenant B's single commands while tenant A sends as much as it can.

B uses the client and HTTP. Two workers and one API serve both tenants.
"""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pointledger import ApplyRule, Earn, PointsClient
from pointledger.domain.program.rule import rule_from
from pointledger.domain.program.tenant import tenant_from
from pointledger.errors import BacklogFull
from pointledger.storage.ledger import program
from tests.bench import http as bench_http
from tests.bench.environment import BenchmarkEnvironment, BenchmarkStuck
from tests.bench.harness import BenchmarkOptions, BenchmarkReport, Side, compare
from tests.bench.ledger import BenchmarkLedger, new_ledger, produce_in_chunks, running_workers
from tests.bench.open_loop import OpenLoop, percentile
from tests.bench.workload import EVENT_TYPE, TENANT

NAME = "neighbours"
A = "big"  # B is the tenant of the other benchmarks
ALONE, HTTP_ALONE = "B alone", "B over HTTP alone"
BACKLOG = "B beside a backlog of A"
PAUSED = "B beside a paused A"
EXPENSIVE_RULES = "B beside dear rules of A"
BATCHES = "B over HTTP beside A's batches"
CONNECTIONS = "B over HTTP beside A's connections"
_RATE = 20  # B's commands per second
_WAIT_SECONDS = 30.0  # for one outcome
_READY_SECONDS = 60.0
_EXPENSIVE_LIST = 1000  # elements in A's events, over which its most expensive rule iterates
_SHARES = {"p50": 0.5, "p99": 0.99}

RoundTrip = Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class NeighboursSize:
    """The size of the load: A's pending commands, its rate per second, and the seconds of measuring B."""

    rounds: int
    backlog: int
    rate: int
    expensive: int  # pending events with expensive rules
    expensive_rate: int
    seconds: float


FULL = NeighboursSize(rounds=1, backlog=300_000, rate=5_000, expensive=20_000, expensive_rate=500, seconds=20)
QUICK = NeighboursSize(rounds=1, backlog=2_000, rate=200, expensive=200, expensive_rate=20, seconds=1)


def run(environment: BenchmarkEnvironment, options: BenchmarkOptions) -> Iterator[BenchmarkReport]:
    """Measure B alone, and beside each of A's loads."""
    size = QUICK if options.quick else FULL
    by_client: dict[str, Callable[[ExitStack, BenchmarkLedger, PointsClient, NeighboursSize], None]] = {
        ALONE: lambda *_: None,
        BACKLOG: _backlog,
        PAUSED: _paused,
        EXPENSIVE_RULES: _expensive_rules,
    }
    over_http = {HTTP_ALONE: None, BATCHES: "batches", CONNECTIONS: "connections"}
    if options.quick:  # each side takes seconds to start, and one alone over HTTP runs no code of its own
        by_client = dict([*by_client.items()][:2])
        over_http = dict([*over_http.items()][1:2])
    sides = [
        Side(label, partial(_measure_client, environment, size, load)) for label, load in by_client.items()
    ]
    sides += [
        Side(label, partial(_measure_http, environment, size, load)) for label, load in over_http.items()
    ]
    rounds = compare(NAME, sides, options.rounds or size.rounds, environment.on_progress)
    alone = dict.fromkeys(over_http, HTTP_ALONE) | dict.fromkeys(by_client, ALONE)
    measured = {side.label for side in sides}
    shares = {
        f"{label}, {share}": f"{beside}, {share}"
        for label, beside in alone.items()
        for share in _SHARES
        if label != beside and beside in measured
    }
    yield rounds.report(NAME, "milliseconds", beside=shares)


def _measure_client(
    environment: BenchmarkEnvironment,
    size: NeighboursSize,
    load: Callable[[ExitStack, BenchmarkLedger, PointsClient, NeighboursSize], None],
) -> Mapping[str, float]:
    with ExitStack() as stack:
        ledger = stack.enter_context(_two_tenants(environment))
        client = stack.enter_context(PointsClient.connect(ledger.settings))
        load(stack, ledger, client, size)
        figures = _measure(stack, environment, ledger, size, partial(_applied, client))
        ledger.verify(lambda _: None)
    return figures


def _measure_http(
    environment: BenchmarkEnvironment, size: NeighboursSize, load: str | None
) -> Mapping[str, float]:
    with ExitStack() as stack:
        ledger = stack.enter_context(_two_tenants(environment))
        (port,), tokens = stack.enter_context(bench_http.apis_for(ledger, [A, TENANT]))
        if load == "connections":
            with PointsClient.connect(ledger.settings) as client:
                client.pause(A)  # so its requests wait for their outcomes
        if load:
            stack.enter_context(_flood(ledger, load, str(port), tokens[A]))
        figures = _measure(stack, environment, ledger, size, _HttpTrip(port, tokens[TENANT]))
        ledger.verify(lambda _: None)
    return figures


@contextmanager
def _two_tenants(environment: BenchmarkEnvironment) -> Iterator[BenchmarkLedger]:
    with new_ledger(environment) as ledger:
        rule = {"name": "visits", "event_type": EVENT_TYPE, "points": 3}
        with ledger.database.begin() as connection:
            program.put_tenant(connection, tenant_from({"tenant_id": A}))
            program.put_rule(connection, A, rule_from(rule))
        yield ledger


def _measure(
    stack: ExitStack,
    environment: BenchmarkEnvironment,
    ledger: BenchmarkLedger,
    size: NeighboursSize,
    round_trip: RoundTrip,
) -> Mapping[str, float]:
    """Start the workers, and return B's percentiles in milliseconds."""
    stack.enter_context(running_workers(environment, ledger))
    with OpenLoop(_RATE, round_trip) as warm_up:
        time.sleep(size.seconds / 10)
    with OpenLoop(_RATE, lambda number: round_trip(warm_up.begun + number)) as loop:
        time.sleep(size.seconds)
    loop.verify()
    took = [1000 * latency for latency in loop.latencies]
    return {name: percentile(took, share) for name, share in _SHARES.items()}


def _applied(client: PointsClient, number: int) -> bool:
    task_id = client.enqueue(Earn(tenant_id=TENANT, user_id=f"user-{number}", amount=5))
    return client.wait(task_id, timeout=_WAIT_SECONDS).state == "applied"


class _HttpTrip:
    """An earn over HTTP, with one connection per thread."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._local = threading.local()

    def __call__(self, number: int) -> bool:
        """Send one earn; again on a new connection if the API has closed the idle one, as clients do."""
        body = json.dumps({"amount": 5})
        headers = self._headers | {"X-Idempotency-Key": f"earn-{number}"}
        for _ in range(2):
            connection = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = http.client.HTTPConnection("127.0.0.1", self._port)
            try:
                connection.request("POST", f"/points/user-{number}/earn", body, headers)
                response = connection.getresponse()
                response.read()
                return bool(response.status == http.HTTPStatus.OK)
            except (OSError, http.client.HTTPException):
                self._local.connection = None
        return False


# ------------------------------------------------------------------------------------------- A's loads


def _backlog(stack: ExitStack, ledger: BenchmarkLedger, client: PointsClient, size: NeighboursSize) -> None:
    _fill(client, size.backlog, {})
    stack.enter_context(_flood(ledger, "commands", A, str(size.rate), "{}"))


def _paused(stack: ExitStack, ledger: BenchmarkLedger, client: PointsClient, size: NeighboursSize) -> None:
    client.pause(A)
    _backlog(stack, ledger, client, size)


def _expensive_rules(
    stack: ExitStack, ledger: BenchmarkLedger, client: PointsClient, size: NeighboursSize
) -> None:
    """Give A the most expensive rule that is accepted, and events that cause its full cost."""
    metadata = {"l": list(range(_EXPENSIVE_LIST))}
    with ledger.database.begin() as connection:
        program.put_rule(connection, A, rule_from(_most_expensive_rule()))
    _fill(client, size.expensive, metadata)
    load = "commands", A, str(size.expensive_rate), json.dumps(metadata)
    stack.enter_context(_flood(ledger, *load))


def _most_expensive_rule() -> dict[str, Any]:
    """Return a rule with the largest condition of this form that is accepted."""
    for terms in range(100, 0, -1):
        condition = "event.l.all(x, " + " && ".join(["x < 100000"] * terms) + ")"
        rule = {"name": "expensive", "event_type": EVENT_TYPE, "points": 1, "when": condition}
        try:
            rule_from(rule)
        except ValueError:
            continue
        return rule
    raise BenchmarkStuck("no expensive rule is accepted")


def _fill(client: PointsClient, count: int, metadata: dict[str, Any]) -> None:
    """Accept events of A before the workers start."""

    def accept(numbers: Any) -> None:
        try:
            client.enqueue_many(
                [
                    ApplyRule(
                        tenant_id=A, user_id=f"user-{n % 20_000}", event_type=EVENT_TYPE, metadata=metadata
                    )
                    for n in numbers
                ]
            )
        except BacklogFull as full:
            raise BenchmarkStuck(f"{count} events of one tenant are too many: {full}") from full

    produce_in_chunks(accept, range(count))


@contextmanager
def _flood(ledger: BenchmarkLedger, *arguments: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.flood", *arguments],
        cwd=Path(__file__).parents[2],
        env=os.environ | ledger.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,  # so Ctrl-C reaches only this process
    )
    try:
        assert process.stdout
        if process.stdout.readline() != b"ready\n":
            raise BenchmarkStuck(f"the load {arguments[0]} does not start")
        yield
    finally:
        process.kill()
        process.wait()
