"""http: apply-rule through the gateway, from the request to the answer that tells the outcome. One gateway,
two workers and the sender share the machine."""

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
from tests.bench.harness import Choice, DifferentWork, Report, Side, compare
from tests.bench.http_load import Found, Request, at_once, by_timetable
from tests.bench.ledger import Ledger, at_work, new_ledger, open_accounts
from tests.bench.open_loop import percentile
from tests.bench.stage import BenchmarkStuck, Stage
from tests.bench.workload import EVENT_TYPE, TENANT, Event

NAME = "http"
_ROOT = Path(__file__).parents[2]
_CONNECTIONS = 256  # under way where as many come as can: some services with a pool each
_STEADY_RATE = 100  # a second
_MANY_LANES = 64  # beside the usual number: what waits in a lane goes in one batch, so more have smaller ones
_RATE_LIMIT = 1_000_000  # one service sends all that there is
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_LOOK_SECONDS = 0.05
_LOG_TAIL_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Size:
    """How much: so many requests as fast as they go; then at a steady rate, for so many seconds."""

    rounds: int
    users: int
    requests: int
    steady_seconds: float
    warm_up: int


FULL = Size(rounds=3, users=100_000, requests=30_000, steady_seconds=20, warm_up=2_000)
QUICK = Size(rounds=1, users=200, requests=300, steady_seconds=0.5, warm_up=50)


def run(stage: Stage, choice: Choice) -> Iterator[Report]:
    """How many a second, and how long each takes: at that, and at a steady 100 a second."""
    size = QUICK if choice.quick else FULL
    usual = Settings().lanes
    sides = [Side(f"{lanes} lanes", partial(_measured, stage, size, lanes)) for lanes in (usual, _MANY_LANES)]
    rounds = compare(NAME, sides, choice.rounds or size.rounds, stage.tell)
    yield rounds.report(NAME, "as each is named")


def _measured(stage: Stage, size: Size, lanes: int) -> dict[str, float]:
    user_ids = workload.users(size.users)
    steady = round(size.steady_seconds * _STEADY_RATE)
    events = workload.events("http", size.warm_up + size.requests + steady, user_ids)
    with new_ledger(stage, lanes=lanes) as ledger:
        opening = open_accounts(ledger, size.users)
        rates = {"POINTLEDGER_HTTP_SERVICE_RATE": str(_RATE_LIMIT)}
        with at_work(stage, ledger), api_for(ledger, [TENANT], rates) as (port, tokens):
            requests = [_request(event, tokens[TENANT]) for event in events]
            found = [
                at_once(port, requests[: size.warm_up], _CONNECTIONS),
                at_once(port, requests[size.warm_up : -steady], _CONNECTIONS),
                by_timetable(port, requests[-steady:], _STEADY_RATE, _CONNECTIONS),
            ]
        if wrong := sum(each.wrong for each in found):
            raise DifferentWork(f"{wrong} of {len(requests)} answers were not the right ones")
        ledger.verify(lambda connection: workload.verify(connection, user_ids, events, opening.of_each))
    _, most, few = found
    return {
        "requests per second": len(most.latencies) / most.seconds,
        **_times(most, f"{_CONNECTIONS} under way"),
        **_times(few, f"{_STEADY_RATE}/s"),
        "sender, % of a core": 100 * most.sender_seconds / most.seconds,
    }


def _times(found: Found, when: str) -> dict[str, float]:
    shares = {"p50": 0.5, "p99": 0.99}
    return {f"{when} {name}, ms": 1000 * percentile(found.latencies, share) for name, share in shares.items()}


def _request(event: Event, token: str) -> Request:
    """To the byte, and what the answer to it has in it."""
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
    return Request(head.encode() + body, b"HTTP/1.1 200 ", b'"points_earned":%d,' % event.points)


@contextmanager
def api_for(
    ledger: Ledger, tenants: Sequence[str], settings: Mapping[str, str] | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """An API of the ledger: its port, and an administrator's token for each tenant."""
    with tempfile.TemporaryDirectory(prefix="pointledger-bench-") as folder:
        tokens = {}
        for tenant_id in tenants:
            key = development_key(Path(folder), tenant_id)  # the same one, with another token
            tokens[tenant_id] = key.token.read_text()
        environment = ledger.environment | {
            "POINTLEDGER_HTTP_ISSUER": ISSUER,
            "POINTLEDGER_HTTP_KEYS": str(key.keys),
            **(settings or {}),
        }
        log = Path(folder, "gateway.log")
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "pointledger_demo.supervised", "pointledger", "serve", "--port", "0"],
                cwd=_ROOT,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,  # Ctrl-C is for us
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
    """Where it listens: it says so before it serves, and whoever connects waits. Raises BenchmarkStuck."""
    give_up_at = time.monotonic() + _START_SECONDS
    while "listening on " not in (said := log.read_text(errors="replace")):
        if process.poll() is not None or time.monotonic() > give_up_at:
            raise BenchmarkStuck(f"the gateway does not start\n{said[-_LOG_TAIL_CHARACTERS:]}")
        time.sleep(_LOOK_SECONDS)
    return int(said.partition("listening on ")[2].split()[0].rpartition(":")[2])
