"""neighbours: how long tenant B's single commands take beside tenant A, which sends as much as it can. By the
client and over HTTP; two workers and one API."""

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
from tests.bench.harness import Choice, Report, Side, compare
from tests.bench.ledger import Ledger, at_work, hand_over, new_ledger
from tests.bench.open_loop import OpenLoop, percentile
from tests.bench.stage import BenchmarkStuck, Stage
from tests.bench.workload import EVENT_TYPE, TENANT

NAME = "neighbours"
A = "big"  # B is the tenant of the other benchmarks
_RATE = 20  # B's commands a second
_WAIT_SECONDS = 30.0  # for one outcome
_READY_SECONDS = 60.0
_DEAR_LIST = 1000  # elements of A's events whose rules cost as much as a tenant's may
_SHARES = {"p50": 0.5, "p99": 0.99}

Trip = Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class Size:
    """How much: A's pending commands, how many it sends a second, and for how many seconds B is measured."""

    rounds: int
    backlog: int
    rate: int
    dear: int  # pending events with dear rules
    dear_rate: int
    seconds: float


FULL = Size(rounds=1, backlog=300_000, rate=5_000, dear=20_000, dear_rate=500, seconds=20)
QUICK = Size(rounds=1, backlog=2_000, rate=200, dear=200, dear_rate=20, seconds=1)


def run(stage: Stage, choice: Choice) -> Iterator[Report]:
    """B alone, and beside each of A's loads."""
    size = QUICK if choice.quick else FULL
    by_client: dict[str, Callable[[ExitStack, Ledger, PointsClient, Size], None]] = {
        "B alone": lambda *_: None,
        "B beside a backlog of A": _backlog,
        "B beside a paused A": _paused,
        "B beside dear rules of A": _dear_rules,
    }
    over_http = {
        "B over HTTP alone": None,
        "B over HTTP beside A's batches": "batches",
        "B over HTTP beside A's connections": "connections",
    }
    sides = [Side(label, partial(_by_client, stage, size, load)) for label, load in by_client.items()]
    sides += [Side(label, partial(_over_http, stage, size, load)) for label, load in over_http.items()]
    rounds = compare(NAME, sides, choice.rounds or size.rounds, stage.tell)
    shares = {
        f"{label}, {share}": f"{'B over HTTP alone' if label in over_http else 'B alone'}, {share}"
        for label in (*by_client, *over_http)
        for share in _SHARES
        if not label.endswith("alone")
    }
    yield rounds.report(NAME, "milliseconds", beside=shares)


def _by_client(
    stage: Stage, size: Size, load: Callable[[ExitStack, Ledger, PointsClient, Size], None]
) -> Mapping[str, float]:
    with ExitStack() as stack:
        ledger = stack.enter_context(_two_tenants(stage))
        client = stack.enter_context(PointsClient.connect(ledger.settings))
        load(stack, ledger, client, size)
        figures = _measured(stack, stage, ledger, size, partial(_applied, client))
        ledger.verify(lambda _: None)
    return figures


def _over_http(stage: Stage, size: Size, load: str | None) -> Mapping[str, float]:
    with ExitStack() as stack:
        ledger = stack.enter_context(_two_tenants(stage))
        port, tokens = stack.enter_context(bench_http.api_for(ledger, [A, TENANT]))
        if load == "connections":
            with PointsClient.connect(ledger.settings) as client:
                client.pause(A)  # so that its requests wait for their outcomes
        if load:
            stack.enter_context(_flood(ledger, load, str(port), tokens[A]))
        figures = _measured(stack, stage, ledger, size, _HttpTrip(port, tokens[TENANT]))
        ledger.verify(lambda _: None)
    return figures


@contextmanager
def _two_tenants(stage: Stage) -> Iterator[Ledger]:
    with new_ledger(stage) as ledger:
        rule = {"name": "visits", "event_type": EVENT_TYPE, "points": 3}
        with ledger.database.begin() as connection:
            program.put_tenant(connection, tenant_from({"tenant_id": A}))
            program.put_rule(connection, A, rule_from(rule))
        yield ledger


def _measured(stack: ExitStack, stage: Stage, ledger: Ledger, size: Size, trip: Trip) -> Mapping[str, float]:
    """B's percentiles in milliseconds, with the workers started only now."""
    stack.enter_context(at_work(stage, ledger))
    with OpenLoop(_RATE, trip) as warm_up:
        time.sleep(size.seconds / 10)
    with OpenLoop(_RATE, lambda number: trip(warm_up.begun + number)) as loop:
        time.sleep(size.seconds)
    loop.verify()
    took = [1000 * latency for latency in loop.latencies]
    return {name: percentile(took, share) for name, share in _SHARES.items()}


def _applied(client: PointsClient, number: int) -> bool:
    task_id = client.enqueue(Earn(tenant_id=TENANT, user_id=f"user-{number}", amount=5))
    return client.wait(task_id, timeout=_WAIT_SECONDS).state == "applied"


class _HttpTrip:
    """An earn over HTTP, on a connection of its own for each thread."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._own = threading.local()

    def __call__(self, number: int) -> bool:
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = http.client.HTTPConnection("127.0.0.1", self._port)
        connection.request("POST", f"/points/user-{number}/earn", json.dumps({"amount": 5}), self._headers)
        response = connection.getresponse()
        response.read()
        return bool(response.status == http.HTTPStatus.OK)


# ------------------------------------------------------------------------------------------- A's loads


def _backlog(stack: ExitStack, ledger: Ledger, client: PointsClient, size: Size) -> None:
    _fill(client, size.backlog, {})
    stack.enter_context(_flood(ledger, "commands", A, str(size.rate), "{}"))


def _paused(stack: ExitStack, ledger: Ledger, client: PointsClient, size: Size) -> None:
    client.pause(A)
    _backlog(stack, ledger, client, size)


def _dear_rules(stack: ExitStack, ledger: Ledger, client: PointsClient, size: Size) -> None:
    """A's rules cost as much as they may, and its events make them cost it."""
    metadata = {"l": list(range(_DEAR_LIST))}
    with ledger.database.begin() as connection:
        program.put_rule(connection, A, rule_from(_dearest_rule()))
    _fill(client, size.dear, metadata)
    load = "commands", A, str(size.dear_rate), json.dumps(metadata)
    stack.enter_context(_flood(ledger, *load))


def _dearest_rule() -> dict[str, Any]:
    """The largest condition of its form that is accepted."""
    for terms in range(100, 0, -1):
        condition = "event.l.all(x, " + " && ".join(["x < 100000"] * terms) + ")"
        rule = {"name": "dear", "event_type": EVENT_TYPE, "points": 1, "when": condition}
        try:
            rule_from(rule)
        except ValueError:
            continue
        return rule
    raise BenchmarkStuck("no dear rule is accepted")


def _fill(client: PointsClient, count: int, metadata: dict[str, Any]) -> None:
    """Let so many events of A wait. Workers do not run yet."""

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

    hand_over(accept, range(count))


@contextmanager
def _flood(ledger: Ledger, *arguments: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.flood", *arguments],
        cwd=Path(__file__).parents[2],
        env=os.environ | ledger.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for us
    )
    try:
        assert process.stdout
        if process.stdout.readline() != b"ready\n":
            raise BenchmarkStuck(f"the load {arguments[0]} does not start")
        yield
    finally:
        process.kill()
        process.wait()
