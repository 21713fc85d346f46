"""Replays a ledger, tenant by tenant, while workers keep running."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

import psycopg
import sqlalchemy as sa

from pointledger.errors import ReplayCannotBegin
from pointledger.observability.replay.order import ApplicationOrder, OrderedCommand
from pointledger.observability.replay.report import ReplayCheck, ReplayReport
from pointledger.observability.replay.tenant import TenantReplay
from pointledger.storage.replay import reads
from pointledger.storage.replay.reads import ReplayHorizon

_WAIT_SECONDS = 60.0  # for transactions that were open when the replay began; a worker's takes seconds
_POLL_SECONDS = 0.05
_COLLECT_EVERY = 1_000_000  # commands, about a minute: few of these objects are in cycles

Progress = Callable[[ReplayReport, int], None]


def replay(
    engine: sa.Engine,
    *,
    tenant_id: str | None = None,
    after: str | None = None,
    limit_rows: int = 20,
    on_progress: Progress | None = None,
) -> ReplayReport:
    """Decide every command again, in the recorded order, and compare the results with the stored rows.

    `tenant_id` selects one tenant. `after` skips tenants up to this id, to continue an interrupted replay.
    `on_progress` gets the report so far and the total number of commands. The report keeps at most
    `limit_rows` differences per check. Raises ReplayCannotBegin if old transactions do not end.
    """
    began = time.monotonic()
    report = ReplayReport(limit_rows)
    horizon = _settled_horizon(engine)
    order = ApplicationOrder(engine, horizon.batch, tenant_id=tenant_id, after=after or "")
    run = _ReplayRun(engine, horizon, report, order.commands, on_progress)
    try:
        with _garbage_collector_disabled():
            for tenant, commands in order.by_tenant():
                run.replay_tenant(tenant, commands)
    finally:
        order.close()
    report.seconds = time.monotonic() - began
    return report


def _settled_horizon(engine: sa.Engine) -> ReplayHorizon:
    """Wait until every batch up to the last batch number has ended."""
    horizon = reads.horizon(engine)
    until = time.monotonic() + _WAIT_SECONDS
    while not reads.is_settled(engine, horizon):
        if time.monotonic() > until:
            raise ReplayCannotBegin
        time.sleep(_POLL_SECONDS)
    return horizon


@contextmanager
def _garbage_collector_disabled() -> Iterator[None]:
    """Disable Python's cycle collector.

    It scans all accounts again and again and finds little. With it, a replay takes twice as long (measured).
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@dataclass(slots=True)
class _ReplayRun:
    """A replay in progress."""

    engine: sa.Engine
    horizon: ReplayHorizon
    report: ReplayReport
    total: int
    on_progress: Progress | None
    collected_at: int = 0  # commands decided when cycles were last collected

    def replay_tenant(self, tenant_id: str, commands: Iterator[OrderedCommand]) -> None:
        """Replay a tenant if the order is known from its first command on."""
        first = next(commands)
        if first.batch is None:
            self.report.without_order[tenant_id] = 1 + sum(each.batch is None for each in commands)
            return
        try:
            replay = TenantReplay(self.engine, tenant_id, self.horizon, self.report)
            replay.run(chain([first], commands), self._on_chunk)
        except (
            psycopg.DataError
        ) as error:  # a value like the timestamp infinity, which the ledger never writes
            self.report.add(ReplayCheck.READABLE, {"tenant_id": tenant_id}, str(error), None)
        self.report.tenants += 1
        self.report.last_tenant = tenant_id
        self._on_chunk()

    def _on_chunk(self) -> None:
        """Collect cycles now and then, and report progress."""
        if self.report.commands - self.collected_at >= _COLLECT_EVERY:
            self.collected_at = self.report.commands
            gc.collect()
        if self.on_progress:
            self.on_progress(self.report, self.total)
