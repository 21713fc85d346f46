"""Measures the nightly expiry job while commands arrive: its time, their latency, the longest row lock."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, timedelta
from functools import partial

import sqlalchemy as sa

from pointledger.jobs.scheduler import EXPIRE_POINTS
from pointledger.messaging import celery_app, contract
from pointledger.storage.queue import job_runs
from tests.bench import workload
from tests.bench.environment import BenchmarkEnvironment
from tests.bench.harness import BenchmarkOptions, BenchmarkReport, DifferentWork, Side, compare
from tests.bench.history import BasketHistory, load
from tests.bench.latency import SHARES
from tests.bench.ledger import BenchmarkLedger, apply_one, new_ledger, running_workers
from tests.bench.open_loop import percentile, quiet_and_busy
from tests.bench.plots import latency_curve
from tests.bench.workload import EXPIRY_DAYS, PER_MINOR, TENANT, BasketEvent

NAME = "expiry"
_RATE = 100  # live commands per second
_AMOUNT_MINOR = 10 * PER_MINOR  # of each basket whose points expire
_WATCH_SECONDS = 0.01  # between reads of the open transactions; only 0.2 s or more would matter
_POLL_SECONDS = 0.1
_BOUND_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class ExpirySize:
    """The size of the load: users, due lots per user, and seconds of live commands before the job."""

    rounds: int
    users: int
    lots_per_user: int
    quiet_seconds: float


FULL = ExpirySize(rounds=3, users=100_000, lots_per_user=10, quiet_seconds=15)
QUICK = ExpirySize(rounds=1, users=300, lots_per_user=5, quiet_seconds=1)


def run(environment: BenchmarkEnvironment, options: BenchmarkOptions) -> Iterator[BenchmarkReport]:
    """Run the job once, and measure it and the live commands."""
    size = QUICK if options.quick else FULL
    sides = [Side("pointledger", partial(_measure, environment, size))]
    rounds = compare(NAME, sides, options.rounds or size.rounds, environment.on_progress)
    yield rounds.report(f"{NAME}: sweep of {size.users * size.lots_per_user:,} lots", "seconds", "sweep")
    yield rounds.report(f"{NAME}: live commands", "milliseconds", "live")
    yield rounds.report(f"{NAME}: longest transaction that writes", "milliseconds", "writing")


def _measure(environment: BenchmarkEnvironment, size: ExpirySize) -> dict[str, float]:
    user_ids = workload.users(size.users)
    with new_ledger(environment) as ledger:
        history = _last_year(ledger, size)
        events = workload.events("live", round(_RATE * (2 * _BOUND_SECONDS)), user_ids)
        figures: dict[str, float] = {}
        with (
            running_workers(environment, ledger) as (client, _),
            environment.beat(ledger.env),
            _watch_transactions(ledger.database) as longest,
        ):

            def run_job() -> None:
                longest[0] = 0.0
                figures["sweep"] = _run_job(ledger)

            quiet, busy, done = quiet_and_busy(
                _RATE, size.quiet_seconds, lambda number: apply_one(client, events[number]), run_job
            )
        ledger.verify(lambda found: verify(found, history, user_ids, events[:done]))
    for name, loop in (("before the sweep", quiet), ("during the sweep", busy)):
        took = [1000 * latency for latency in loop.latencies]
        figures |= {f"live {name} {share}": percentile(took, part) for share, part in SHARES.items()}
        environment.keep_curve(latency_curve(f"Commands at {_RATE} per second", name, took))
    return figures | {"writing": 1000 * longest[0]}


def _last_year(ledger: BenchmarkLedger, size: ExpirySize) -> BasketHistory:
    """Create lots that expired in the course of yesterday, and the run that beat opens after midnight."""
    with ledger.database.begin() as connection:
        midnight = job_runs.now(connection).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        # Without this, a new ledger has its first run tomorrow.
        job_runs.open_run(connection, EXPIRE_POINTS, TENANT, midnight.date(), midnight)
    lifetime = timedelta(EXPIRY_DAYS)
    history = BasketHistory(
        name="last-year",
        users=size.users,
        entries=size.users * size.lots_per_user,
        amount_minor=_AMOUNT_MINOR,
        began_at=midnight - lifetime - timedelta(days=1),
        span=timedelta(days=1),
        lifetime=lifetime,
    )
    load(ledger.database, history, ledger.opening, ledger.settings.lanes)
    return history


_RUN = """
SELECT finished_at IS NOT NULL AND NOT EXISTS (
    SELECT FROM pending p JOIN journal j ON j.id = p.id WHERE j.kind = 'expire-due')
FROM job_runs WHERE job = %s"""


def _run_job(ledger: BenchmarkLedger) -> float:
    """Start the job as beat does. Return the seconds until its last command is applied."""
    app = celery_app.producer_app(ledger.settings)
    began = time.perf_counter()
    app.send_task(contract.EXPIRE_POINTS_TASK)
    while True:
        with ledger.database.connect() as connection:
            if connection.exec_driver_sql(_RUN, (EXPIRE_POINTS,)).scalar_one():
                break
        if time.perf_counter() - began > _BOUND_SECONDS:
            raise DifferentWork(f"the expiry job is not done after {_BOUND_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)
    app.close()
    return time.perf_counter() - began


_WRITING = """
SELECT pid, backend_xid::text FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL"""


@contextmanager
def _watch_transactions(database: sa.Engine) -> Iterator[list[float]]:
    """Measure the longest time, in seconds, for which a transaction had a transaction id.

    Postgres assigns the id when a transaction first locks or writes a row. So no row was locked for longer
    than that, plus the time between two reads.
    """
    longest, stop = [0.0], threading.Event()

    def watch() -> None:
        since: dict[tuple[int, str], float] = {}
        with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not stop.wait(_WATCH_SECONDS):
                writing = connection.exec_driver_sql(_WRITING).all()
                now = time.monotonic()
                since = {(pid, xid): since.get((pid, xid), now) for pid, xid in writing}
                longest[0] = max([longest[0], *(now - began for began in since.values())])

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield longest
    finally:
        stop.set()
        thread.join()


_ACCOUNTS = "SELECT user_id, balance, expired_points, version FROM accounts"


def verify(
    connection: sa.Connection, history: BasketHistory, user_ids: list[str], live: list[BasketEvent]
) -> None:
    """Check that each lot of last year has expired with its own entry, and that each live command is applied.

    Raises DifferentWork.
    """
    points, counts = Counter[str](), Counter[str]()
    for event in live:
        points[event.user_id] += event.points
        counts[event.user_id] += 1
    lots, due = history.per_user
    found = {row[0]: tuple(row[1:]) for row in connection.exec_driver_sql(_ACCOUNTS)}
    for user_id in user_ids:
        expected, account = (points[user_id], due, 2 * lots + counts[user_id]), found.get(user_id)
        if account != expected:
            raise DifferentWork(f"{user_id}: balance, expired, entries are {account}, not {expected}")
