"""expiry: a nightly sweep lets lots expire while commands arrive: how long it takes, what the commands notice
of it, and for how long rows are locked."""

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
from tests.bench.harness import Choice, DifferentWork, Report, Side, compare
from tests.bench.latency import SHARES
from tests.bench.ledger import Ledger, apply_one, at_work, new_ledger
from tests.bench.open_loop import percentile, quiet_and_busy
from tests.bench.past import Past, load
from tests.bench.plots import distribution
from tests.bench.stage import Stage
from tests.bench.workload import EXPIRY_DAYS, PER_MINOR, TENANT, Event

NAME = "expiry"
_RATE = 100  # live commands per second
_AMOUNT_MINOR = 10 * PER_MINOR  # of each basket whose points expire
_WATCH_SECONDS = 0.01  # between looks at the transactions: a twentieth of what matters
_POLL_SECONDS = 0.1
_BOUND_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much: users, and due lots of each; and so many seconds of live commands before the sweep."""

    rounds: int
    users: int
    lots_of_each: int
    quiet_seconds: float


FULL = Size(rounds=3, users=100_000, lots_of_each=10, quiet_seconds=15)
QUICK = Size(rounds=1, users=300, lots_of_each=5, quiet_seconds=1)


def run(stage: Stage, choice: Choice) -> Iterator[Report]:
    """One sweep, and what the live commands noticed."""
    size = QUICK if choice.quick else FULL
    sides = [Side("pointledger", partial(_swept, stage, size))]
    rounds = compare(NAME, sides, choice.rounds or size.rounds, stage.tell)
    yield rounds.report(f"{NAME}: sweep of {size.users * size.lots_of_each:,} lots", "seconds", "sweep")
    yield rounds.report(f"{NAME}: live commands", "milliseconds", "live")
    yield rounds.report(f"{NAME}: longest transaction that writes", "milliseconds", "writing")


def _swept(stage: Stage, size: Size) -> dict[str, float]:
    user_ids = workload.users(size.users)
    with new_ledger(stage) as ledger:
        past = _last_year(ledger, size)
        events = workload.events("live", round(_RATE * (2 * _BOUND_SECONDS)), user_ids)
        figures: dict[str, float] = {}
        with (
            at_work(stage, ledger) as (client, _),
            stage.beat(ledger.environment),
            _watching(ledger.database) as longest,
        ):

            def sweep() -> None:
                longest[0] = 0.0
                figures["sweep"] = _sweep(ledger)

            quiet, busy, done = quiet_and_busy(
                _RATE, size.quiet_seconds, lambda number: apply_one(client, events[number]), sweep
            )
        ledger.verify(lambda found: verify(found, past, user_ids, events[:done]))
    for name, loop in (("before the sweep", quiet), ("during the sweep", busy)):
        took = [1000 * latency for latency in loop.latencies]
        figures |= {f"live {name} {share}": percentile(took, part) for share, part in SHARES.items()}
        stage.keep(distribution(f"Commands at {_RATE} per second", name, took))
    return figures | {"writing": 1000 * longest[0]}


def _last_year(ledger: Ledger, size: Size) -> Past:
    """Lots that expired yesterday, all day long; and the run that the beat opens after midnight."""
    with ledger.database.begin() as connection:
        midnight = job_runs.now(connection).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        # A ledger that is new today would have its first run tomorrow.
        job_runs.open_run(connection, EXPIRE_POINTS, TENANT, midnight.date(), midnight)
    lifetime = timedelta(EXPIRY_DAYS)
    past = Past(
        name="last-year",
        users=size.users,
        entries=size.users * size.lots_of_each,
        amount_minor=_AMOUNT_MINOR,
        began_at=midnight - lifetime - timedelta(days=1),
        span=timedelta(days=1),
        lifetime=lifetime,
    )
    load(ledger.database, past, ledger.opening, ledger.settings.lanes)
    return past


_RUN = """
SELECT finished_at IS NOT NULL AND NOT EXISTS (
    SELECT FROM pending p JOIN journal j ON j.id = p.id WHERE j.kind = 'expire-due')
FROM job_runs WHERE job = %s"""


def _sweep(ledger: Ledger) -> float:
    """Asks for it as the beat does; seconds until the run is finished and its last command applied."""
    app = celery_app.producer_app(ledger.settings)
    began = time.perf_counter()
    app.send_task(contract.EXPIRE_POINTS_TASK)
    while True:
        with ledger.database.connect() as connection:
            if connection.exec_driver_sql(_RUN, (EXPIRE_POINTS,)).scalar_one():
                break
        if time.perf_counter() - began > _BOUND_SECONDS:
            raise DifferentWork(f"the sweep is not done after {_BOUND_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)
    app.close()
    return time.perf_counter() - began


_WRITING = """
SELECT pid, backend_xid::text FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL"""


@contextmanager
def _watching(database: sa.Engine) -> Iterator[list[float]]:
    """The longest, in seconds, that a transaction was seen to have a number: it gets one when it first locks
    or writes a row, so no row was locked for longer than that, and what may have come between two looks."""
    longest, over = [0.0], threading.Event()

    def watch() -> None:
        since: dict[tuple[int, str], float] = {}
        with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not over.wait(_WATCH_SECONDS):
                writing = connection.exec_driver_sql(_WRITING).all()
                now = time.monotonic()
                since = {(pid, xid): since.get((pid, xid), now) for pid, xid in writing}
                longest[0] = max([longest[0], *(now - began for began in since.values())])

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield longest
    finally:
        over.set()
        thread.join()


_BOOKS = "SELECT user_id, balance, expired_points, version FROM accounts"


def verify(connection: sa.Connection, past: Past, user_ids: list[str], live: list[Event]) -> None:
    """Every lot of last year's has expired, by an entry each, and nothing else; every live command is
    applied. Raises DifferentWork."""
    points, counts = Counter[str](), Counter[str]()
    for event in live:
        points[event.user_id] += event.points
        counts[event.user_id] += 1
    lots, due = past.of_each
    found = {row[0]: tuple(row[1:]) for row in connection.exec_driver_sql(_BOOKS)}
    for user_id in user_ids:
        wanted, books = (points[user_id], due, 2 * lots + counts[user_id]), found.get(user_id)
        if books != wanted:
            raise DifferentWork(f"{user_id}: balance, expired, entries are {books}, not {wanted}")
