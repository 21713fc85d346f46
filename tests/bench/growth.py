"""growth: the same load on ledgers that hold more and more entries: commands per second, the first page of a
user's entries, and the memory of a worker."""

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
from tests.bench.harness import Choice, DifferentWork, Report, Side, compare
from tests.bench.latency import SHARES
from tests.bench.ledger import Ledger, at_work, enqueue, new_ledger, timed
from tests.bench.open_loop import percentile
from tests.bench.past import Past, load
from tests.bench.stage import Stage
from tests.bench.workload import PER_MINOR, TENANT, Event

NAME = "growth"
_AMOUNT_MINOR = 10 * PER_MINOR
_YEARS = timedelta(days=3 * 365)  # over which the entries are spread, and for as long points live on
_PAGE_BYTES = 4096  # of memory, in /proc
_SEED = 20170104


@dataclass(frozen=True, slots=True)
class Size:
    """How much: the ledgers' entries, over always the same number of users; commands and looks a round."""

    rounds: int
    users: int
    entries: tuple[int, ...]
    commands: int
    warm_up: int
    looks: int


FULL = Size(3, 10_000, (10_000, 1_000_000, 10_000_000), commands=100_000, warm_up=5_000, looks=2_000)
QUICK = Size(1, 100, (100, 5_000), commands=500, warm_up=50, looks=50)


@dataclass(slots=True)
class _Grown:
    """A ledger with a past, and what was applied to it since."""

    ledger: Ledger
    past: Past
    applied: list[Event] = field(default_factory=list)


def run(stage: Stage, choice: Choice) -> Iterator[Report]:
    """All ledgers stand side by side, and are loaded in turns."""
    size = QUICK if choice.quick else FULL
    with ExitStack() as stack:
        ledgers = []
        for entries in size.entries:
            stage.tell(f"{NAME}: loading {entries:,} entries", 0, len(size.entries))
            ledgers.append(_grown(stage, stack, size, entries))
        sides = [
            Side(f"{grown.past.entries:,} entries", partial(_measured, stage, size, grown))
            for grown in ledgers
        ]
        rounds = compare(NAME, sides, choice.rounds or size.rounds, stage.tell)
        user_ids = workload.users(size.users)
        for grown in ledgers:  # once: to audit ten million entries takes minutes
            stage.tell(f"{NAME}: auditing {grown.past.entries:,} entries", 0, len(ledgers))
            grown.ledger.verify(partial(_check, grown, user_ids))
    for what, unit in _UNITS.items():
        yield rounds.report(f"{NAME}: {what}", unit, what)


_UNITS = {
    "apply-rule": "commands per second",
    "first page of entries": "milliseconds",
    "memory of a worker": "MiB",
}


def _grown(stage: Stage, stack: ExitStack, size: Size, entries: int) -> _Grown:
    ledger = stack.enter_context(new_ledger(stage))
    began_at = datetime.now(UTC) - _YEARS
    past = Past("past", size.users, entries, _AMOUNT_MINOR, began_at, _YEARS, 2 * _YEARS)
    load(ledger.database, past, ledger.opening, ledger.settings.lanes)
    return _Grown(ledger, past)


def _measured(stage: Stage, size: Size, grown: _Grown) -> dict[str, float]:
    user_ids, ledger = workload.users(size.users), grown.ledger
    stage.valkey(0)
    name = f"event-{len(grown.applied)}"
    events = workload.events(name, size.commands + size.warm_up, user_ids)
    warm_up, measured = events[: size.warm_up], events[size.warm_up :]
    with at_work(stage, ledger, warm_up=warm_up) as (client, workers):
        pids = [process.pid for process in workers.processes]
        before = max(_memory_mib(pid) for pid in pids)
        rate = timed(workers, partial(enqueue, client), ledger.nothing_waits, measured)
        after = max(_memory_mib(pid) for pid in pids)
        figures = {
            "apply-rule": rate,
            "memory of a worker after warm-up": before,
            "memory of a worker at the end": after,
        }
        grown.applied += events
        took = _pages(client, grown, user_ids, size.looks)
    for share, part in SHARES.items():
        figures[f"first page of entries {share}"] = percentile(took, part)
    return figures


def _check(grown: _Grown, user_ids: list[str], connection: sa.Connection) -> None:
    workload.verify(connection, user_ids, grown.applied, grown.past.of_each)


def _pages(client: PointsClient, grown: _Grown, user_ids: list[str], looks: int) -> list[float]:
    """Milliseconds for the first page of each of some users."""
    took, since = [], Counter(event.user_id for event in grown.applied)
    for user_id in random.Random(_SEED).choices(user_ids, k=looks):
        began = time.perf_counter()
        page = client.entries(TENANT, user_id)
        took.append(1000 * (time.perf_counter() - began))
        total = grown.past.of_each[0] + since[user_id]
        if (page.total, len(page.entries)) != (total, min(total, PAGE)):
            raise DifferentWork(f"{user_id}: {len(page.entries)} of {page.total} entries on the first page")
    return took


def _memory_mib(pid: int) -> float:
    """What the process has in memory now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * _PAGE_BYTES / 2**20
