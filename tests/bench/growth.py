"""Measures the same load on larger and larger ledgers.

It reports commands per second, the latency of the first page of a user's entries, and a worker's memory.
"""

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from pointledger import PointsClient
from pointledger.storage.queries.rows import PAGE
from tests.bench import workload
from tests.bench.environment import BenchmarkEnvironment
from tests.bench.harness import BenchmarkOptions, BenchmarkReport, DifferentWork, Side, compare
from tests.bench.history import BasketHistory, load
from tests.bench.latency import SHARES
from tests.bench.ledger import BenchmarkLedger, enqueue, new_ledger, running_workers, timed
from tests.bench.open_loop import percentile
from tests.bench.workload import PER_MINOR, TENANT, BasketEvent

NAME = "growth"
_AMOUNT_MINOR = 10 * PER_MINOR
_YEARS = timedelta(days=3 * 365)  # the entries spread over this span; the points live for as long again
_PAGE_BYTES = 4096  # the unit of /proc/PID/statm
_SEED = 20170104


@dataclass(frozen=True, slots=True)
class GrowthSize:
    """The size of the load: each ledger's entries; commands and page reads per round."""

    rounds: int
    users: int
    entries: tuple[int, ...]
    commands: int
    warm_up: int
    page_reads: int


FULL = GrowthSize(
    3, 10_000, (10_000, 1_000_000, 10_000_000), commands=100_000, warm_up=5_000, page_reads=2_000
)
QUICK = GrowthSize(1, 100, (100, 5_000), commands=500, warm_up=50, page_reads=50)


@dataclass(slots=True)
class _LoadedLedger:
    """A ledger with a history, and the events that were applied since."""

    ledger: BenchmarkLedger
    history: BasketHistory
    applied: list[BasketEvent] = field(default_factory=list)


def run(environment: BenchmarkEnvironment, options: BenchmarkOptions) -> Iterator[BenchmarkReport]:
    """Load all ledgers, then measure them in turn."""
    size = QUICK if options.quick else FULL
    with ExitStack() as stack:
        ledgers = []
        for entries in size.entries:
            environment.on_progress(f"{NAME}: loading {entries:,} entries", 0, len(size.entries))
            ledgers.append(_load_ledger(environment, stack, size, entries))
        sides = [
            Side(f"{loaded.history.entries:,} entries", partial(_measure, environment, size, loaded))
            for loaded in ledgers
        ]
        rounds = compare(NAME, sides, options.rounds or size.rounds, environment.on_progress)
        user_ids = workload.users(size.users)
        for loaded in ledgers:  # once, because verifying ten million entries takes minutes
            environment.on_progress(f"{NAME}: verifying {loaded.history.entries:,} entries", 0, len(ledgers))
            loaded.ledger.verify(partial(_check, loaded, user_ids))
    for figure, unit in _UNITS.items():
        yield rounds.report(f"{NAME}: {figure}", unit, figure)


_UNITS = {
    "apply-rule": "commands per second",
    "first page of entries": "milliseconds",
    "memory of a worker": "MiB",
}


def _load_ledger(
    environment: BenchmarkEnvironment, stack: ExitStack, size: GrowthSize, entries: int
) -> _LoadedLedger:
    ledger = stack.enter_context(new_ledger(environment))
    began_at = datetime.now(UTC) - _YEARS
    history = BasketHistory("history", size.users, entries, _AMOUNT_MINOR, began_at, _YEARS, 2 * _YEARS)
    load(ledger.database, history, ledger.opening, ledger.settings.lanes)
    return _LoadedLedger(ledger, history)


def _measure(environment: BenchmarkEnvironment, size: GrowthSize, loaded: _LoadedLedger) -> dict[str, float]:
    user_ids, ledger = workload.users(size.users), loaded.ledger
    environment.valkey(0)
    name = f"event-{len(loaded.applied)}"
    events = workload.events(name, size.commands + size.warm_up, user_ids)
    warm_up, measured = events[: size.warm_up], events[size.warm_up :]
    with running_workers(environment, ledger, warm_up=warm_up) as (client, workers):
        pids = [process.pid for process in workers.processes]
        before = max(_memory_mib(pid) for pid in pids)
        rate = timed(workers, partial(enqueue, client), ledger.is_drained, measured)
        after = max(_memory_mib(pid) for pid in pids)
        figures = {
            "apply-rule": rate,
            "memory of a worker after warm-up": before,
            "memory of a worker at the end": after,
        }
        loaded.applied += events
        took = _read_pages(client, loaded, user_ids, size.page_reads)
    for share, part in SHARES.items():
        figures[f"first page of entries {share}"] = percentile(took, part)
    return figures


def _check(loaded: _LoadedLedger, user_ids: list[str], connection: sa.Connection) -> None:
    workload.verify(connection, user_ids, loaded.applied, loaded.history.per_user)


def _read_pages(
    client: PointsClient, loaded: _LoadedLedger, user_ids: list[str], page_reads: int
) -> list[float]:
    """Return the latency in milliseconds of the first page of entries, for some users."""
    took, since = [], Counter(event.user_id for event in loaded.applied)
    for user_id in random.Random(_SEED).choices(user_ids, k=page_reads):
        began = time.perf_counter()
        page = client.entries(TENANT, user_id)
        took.append(1000 * (time.perf_counter() - began))
        total = loaded.history.per_user[0] + since[user_id]
        if (page.total, len(page.entries)) != (total, min(total, PAGE)):
            raise DifferentWork(f"{user_id}: {len(page.entries)} of {page.total} entries on the first page")
    return took


def _memory_mib(pid: int) -> float:
    """Return the memory that the process uses now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * _PAGE_BYTES / 2**20
