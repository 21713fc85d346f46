"""Measures apply-rule over HTTP, from the request to the response with the outcome.

One API process, two workers and the sender share the machine.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pointledger.settings import Settings
from pointledger_demo.development_key import ISSUER, development_key
from tests.bench import workload
from tests.bench.environment import BenchmarkEnvironment, BenchmarkStuck
from tests.bench.harness import BenchmarkOptions, BenchmarkReport, DifferentWork, Side, compare
from tests.bench.http_load import LoadRequest, LoadResult, send_at_rate, send_concurrently
from tests.bench.ledger import BenchmarkLedger, new_ledger, open_accounts, running_workers
from tests.bench.open_loop import percentile
from tests.bench.workload import EVENT_TYPE, TENANT, BasketEvent

NAME = "http"
_ROOT = Path(__file__).parents[2]
_CONNECTIONS = 256  # several services with a pool each
_STEADY_RATE = 100  # per second
# Beside the default. A batch takes the pending commands of one lane, so more lanes mean smaller batches.
_MANY_LANES = 64
_RATE_LIMIT = 1_000_000  # high, because one service sends the whole load
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.05
_LOG_TAIL_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class HttpSize:
    """The size of the load: requests without a pause, then seconds at a steady rate."""

    rounds: int
    users: int
    requests: int
    steady_seconds: float
    warm_up: int


FULL = HttpSize(rounds=3, users=100_000, requests=30_000, steady_seconds=20, warm_up=2_000)
QUICK = HttpSize(rounds=1, users=200, requests=300, steady_seconds=0.5, warm_up=50)


def run(environment: BenchmarkEnvironment, options: BenchmarkOptions) -> Iterator[BenchmarkReport]:
    """Measure the highest rate, and latencies at that rate and at 100 per second."""
    size = QUICK if options.quick else FULL
    default = Settings().lanes
    sides = [
        Side(f"{lanes} lanes", partial(_measure, environment, size, lanes))
        for lanes in (default, _MANY_LANES)
    ]
    rounds = compare(NAME, sides, options.rounds or size.rounds, environment.on_progress)
    yield rounds.report(NAME, "as each is named")


def _measure(environment: BenchmarkEnvironment, size: HttpSize, lanes: int) -> dict[str, float]:
    user_ids = workload.users(size.users)
    steady = round(size.steady_seconds * _STEADY_RATE)
    events = workload.events("http", size.warm_up + size.requests + steady, user_ids)
    with new_ledger(environment, lanes=lanes) as ledger:
        opening = open_accounts(ledger, size.users)
        rates = {"POINTLEDGER_HTTP_SERVICE_RATE": str(_RATE_LIMIT)}
        with running_workers(environment, ledger), api_for(ledger, [TENANT], rates) as (port, tokens):
            requests = [_request(event, tokens[TENANT]) for event in events]
            results = [
                send_concurrently(port, requests[: size.warm_up], _CONNECTIONS),
                send_concurrently(port, requests[size.warm_up : -steady], _CONNECTIONS),
                send_at_rate(port, requests[-steady:], _STEADY_RATE, _CONNECTIONS),
            ]
        if unexpected := sum(each.unexpected for each in results):
            raise DifferentWork(f"{unexpected} of {len(requests)} responses were not the expected ones")
        ledger.verify(lambda connection: workload.verify(connection, user_ids, events, opening.per_user))
    _, highest, steady_load = results
    return {
        "requests per second": len(highest.latencies) / highest.seconds,
        **_latencies(highest, f"{_CONNECTIONS} under way"),
        **_latencies(steady_load, f"{_STEADY_RATE}/s"),
        "sender, % of a core": 100 * highest.sender_seconds / highest.seconds,
    }


def _latencies(result: LoadResult, when: str) -> dict[str, float]:
    shares = {"p50": 0.5, "p99": 0.99}
    return {
        f"{when} {name}, ms": 1000 * percentile(result.latencies, share) for name, share in shares.items()
    }


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
def api_for(
    ledger: BenchmarkLedger, tenants: Sequence[str], settings: Mapping[str, str] | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Start an API for the ledger. Yield its port, and an administrator's token for each tenant."""
    with tempfile.TemporaryDirectory(prefix="pointledger-bench-") as folder:
        tokens = {}
        for tenant_id in tenants:
            key = development_key(Path(folder), tenant_id)  # the same key, with a token for this tenant
            tokens[tenant_id] = key.token.read_text()
        env = ledger.env | {
            "POINTLEDGER_HTTP_ISSUER": ISSUER,
            "POINTLEDGER_HTTP_KEYS": str(key.keys),
            **(settings or {}),
        }
        log = Path(folder, "api.log")
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "pointledger_demo.supervised", "pointledger", "serve", "--port", "0"],
                cwd=_ROOT,
                env=os.environ | env,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,  # so Ctrl-C reaches only this process
            )
        try:
            yield _port(process, log), tokens
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Read the API's port from its log. Raises BenchmarkStuck.

    The API logs the port just before it serves. An earlier connection waits.
    """
    deadline = time.monotonic() + _START_SECONDS
    while "listening on " not in (output := log.read_text(errors="replace")):
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchmarkStuck(f"the API does not start\n{output[-_LOG_TAIL_CHARACTERS:]}")
        time.sleep(_POLL_SECONDS)
    return int(output.partition("listening on ")[2].split()[0].rpartition(":")[2])
