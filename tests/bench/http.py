"""Measures apply-rule over HTTP, from the request to the response with the outcome.

One or two API processes, two workers and the sender share the machine.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from pointledger.settings import Settings
from pointledger_demo.development_key import ISSUER, development_key
from tests.bench import workload
from tests.bench.environment import BenchmarkEnvironment, BenchmarkStuck, Curve
from tests.bench.harness import BenchmarkOptions, BenchmarkReport, DifferentWork, Side, compare
from tests.bench.http_load import LoadRequest, LoadResult, send_at_rate, send_concurrently
from tests.bench.ledger import BenchmarkLedger, new_ledger, open_accounts, running_workers
from tests.bench.open_loop import percentile
from tests.bench.plots import MILLISECONDS
from tests.bench.workload import EVENT_TYPE, TENANT, BasketEvent

NAME = "http"
TWO_APIS = "two APIs"
_ROOT = Path(__file__).parents[2]
_STEADY_RATE = 100  # per second
_STEADY_CONNECTIONS = 64  # more than requests are under way at that rate
# Beside the default. A batch takes the pending commands of one lane, so more lanes mean smaller batches.
_MANY_LANES = 64
_RATE_LIMIT = 1_000_000  # high, because one service sends the whole load
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.05
_LISTENS = re.compile(r"listening on \S+:(\d+)\S*\s")  # the console adds its path
_LOG_TAIL_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class HttpSize:
    """The size of the load: requests by the number of connections, then seconds at a steady rate."""

    rounds: int
    users: int
    requests: dict[int, int]
    steady_seconds: float
    warm_up: int


# Fewer requests on few connections, because there they take milliseconds each.
FULL = HttpSize(
    rounds=3,
    users=100_000,
    requests={1: 2_000, 8: 6_000, 64: 30_000, 256: 30_000},
    steady_seconds=20,
    warm_up=2_000,
)
QUICK = HttpSize(rounds=1, users=200, requests={1: 20, 64: 200}, steady_seconds=0.3, warm_up=50)


def run(environment: BenchmarkEnvironment, options: BenchmarkOptions) -> Iterator[BenchmarkReport]:
    """Measure rates and latencies over the number of connections, and latencies at 100 requests a second."""
    size = QUICK if options.quick else FULL
    default = Settings().lanes
    variants = {
        TWO_APIS: (2, default),
        "one API": (1, default),
        f"one API, {_MANY_LANES} lanes": (1, _MANY_LANES),
    }
    if options.quick:  # each takes seconds to start, and `neighbours` starts one API
        variants = {TWO_APIS: variants[TWO_APIS]}
    sides = [
        Side(label, partial(_measure, environment, size, label, apis, lanes))
        for label, (apis, lanes) in variants.items()
    ]
    rounds = compare(NAME, sides, options.rounds or size.rounds, environment.on_progress)
    yield rounds.report(NAME, "as each is named")


def _measure(
    environment: BenchmarkEnvironment, size: HttpSize, label: str, apis: int, lanes: int
) -> dict[str, float]:
    user_ids = workload.users(size.users)
    counts = [size.warm_up, *size.requests.values(), round(size.steady_seconds * _STEADY_RATE)]
    events = workload.events("http", sum(counts), user_ids)
    with new_ledger(environment, lanes=lanes) as ledger:
        opening = open_accounts(ledger, size.users)
        rates = {"POINTLEDGER_HTTP_SERVICE_RATE": str(_RATE_LIMIT)}
        with (
            running_workers(environment, ledger),
            apis_for(ledger, [TENANT], rates, apis) as (ports, tokens),
        ):
            requests = iter([_request(event, tokens[TENANT]) for event in events])
            warm_up, *chunks, steady = [list(islice(requests, count)) for count in counts]
            warmed_up = send_concurrently(ports, warm_up, max(size.requests))
            closed = {
                connections: send_concurrently(ports, chunk, connections)
                for connections, chunk in zip(size.requests, chunks, strict=True)
            }
            at_rate = send_at_rate(ports, steady, _STEADY_RATE, _STEADY_CONNECTIONS)
        if unexpected := sum(each.unexpected for each in (warmed_up, *closed.values(), at_rate)):
            raise DifferentWork(f"{unexpected} of {len(events)} responses were not the expected ones")
        ledger.verify(lambda connection: workload.verify(connection, user_ids, events, opening.per_user))
    _keep_curves(environment, label, closed)
    figures: dict[str, float] = {}
    for connections, result in closed.items():
        when = _connections(connections)
        figures |= {f"{when}, requests per second": _rate(result), **_latencies(result, when)}
    busiest = closed[max(closed)]
    figures |= _latencies(at_rate, f"{_STEADY_RATE}/s")
    return figures | {"sender, % of a core": 100 * busiest.sender_seconds / busiest.seconds}


def _connections(count: int) -> str:
    return "1 connection" if count == 1 else f"{count} connections"


def _rate(result: LoadResult) -> float:
    return len(result.latencies) / result.seconds


def _latencies(result: LoadResult, when: str) -> dict[str, float]:
    shares = {"p50": 0.5, "p99": 0.99}
    return {
        f"{when} {name}, ms": 1000 * percentile(result.latencies, share) for name, share in shares.items()
    }


def _keep_curves(environment: BenchmarkEnvironment, label: str, closed: Mapping[int, LoadResult]) -> None:
    xs = [float(connections) for connections in closed]
    p99 = [1000 * percentile(result.latencies, 0.99) for result in closed.values()]
    for title, y_axis, ys, logarithmic in (
        ("HTTP requests per second", "requests per second", [*map(_rate, closed.values())], "x"),
        ("HTTP latency, p99", MILLISECONDS, p99, "xy"),
    ):
        curve = Curve(title, label, "connections", y_axis, xs, ys, logarithmic)
        environment.keep_curve(curve)


def _request(event: BasketEvent, token: str) -> LoadRequest:
    """Return the bytes of a request, with the expected status and part of the body."""
    fields = {
        "user_id": event.user_id,
        "event_type": EVENT_TYPE,
        "event_id": event.id,
        "metadata": {"amount_minor": event.amount_minor},
    }
    body = json.dumps(fields).encode()
    head = (
        "POST /admin/points/apply-rule HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return LoadRequest(head.encode() + body, b"HTTP/1.1 200 ", b'"points_earned":%d,' % event.points)


@contextmanager
def apis_for(
    ledger: BenchmarkLedger,
    tenants: Sequence[str],
    settings: Mapping[str, str] | None = None,
    count: int = 1,
) -> Iterator[tuple[list[int], dict[str, str]]]:
    """Start API processes for the ledger. Yield their ports, and an administrator's token for each tenant."""
    with tempfile.TemporaryDirectory(prefix="pointledger-bench-") as folder, ExitStack() as stack:
        tokens = {}
        for tenant_id in tenants:
            key = development_key(Path(folder), tenant_id)  # the same key, with a token for this tenant
            tokens[tenant_id] = key.token.read_text()
        env = ledger.env | {
            "POINTLEDGER_HTTP_ISSUER": ISSUER,
            "POINTLEDGER_HTTP_KEYS": str(key.keys),
            **(settings or {}),
        }
        command = ["serve", "--port", "0"]
        yield stack.enter_context(processes_of(env, command, count)), tokens


@contextmanager
def processes_of(env: Mapping[str, str], command: Sequence[str], count: int = 1) -> Iterator[list[int]]:
    """Start processes of `pointledger` that serve HTTP, and yield their ports."""
    with tempfile.TemporaryDirectory(prefix="pointledger-bench-") as folder, ExitStack() as stack:
        logs = [Path(folder, f"process-{number}.log") for number in range(count)]
        processes = [stack.enter_context(_process(env, command, log)) for log in logs]
        yield [_port(process, log) for process, log in zip(processes, logs, strict=True)]


@contextmanager
def _process(env: Mapping[str, str], command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process. It writes its port to the log."""
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "pointledger_demo.supervised", "pointledger", *command],
            cwd=_ROOT,
            env=os.environ | env,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,  # so Ctrl-C reaches only this process
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Read the process' port from its log. Raises BenchmarkStuck.

    It logs the port just before it serves. An earlier connection waits.
    """
    deadline = time.monotonic() + _START_SECONDS
    while not _LISTENS.search(output := log.read_text(errors="replace")):
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchmarkStuck(f"the process does not start\n{output[-_LOG_TAIL_CHARACTERS:]}")
        time.sleep(_POLL_SECONDS)
    return int(_LISTENS.findall(output)[0])
