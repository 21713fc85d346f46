"""Replays a ledger, tenant by tenant, while workers go on."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

import psycopg
import sqlalchemy as sa

from pointledger.errors import ReplayCannotBegin
from pointledger.observability.replay.order import Order, Step
from pointledger.observability.replay.report import Check, ReplayReport
from pointledger.observability.replay.tenant import TenantReplay
from pointledger.storage.replay import reads
from pointledger.storage.replay.reads import Horizon

_WAIT_SECONDS = 60.0  # for transactions that were open as the replay began; workers' end within seconds
_LOOK_SECONDS = 0.05
_COLLECT_EVERY = 1_000_000  # commands: a minute; few of these objects are in cycles

Progress = Callable[[ReplayReport, int], None]


def replay(
    engine: sa.Engine,
    *,
    tenant_id: str | None = None,
    after: str | None = None,
    limit_rows: int = 20,
    on_progress: Progress | None = None,
) -> ReplayReport:
    """Decides every command anew, in the recorded order, and compares with what is kept.

    `tenant_id`: of this tenant only. `after`: only of tenants whose ids come after this one, to go on where a
    replay ended. `on_progress` is given what has been found so far, and how many commands there are. At most
    `limit_rows` differences are kept per check. Raises ReplayCannotBegin, and what the database raises.
    """
    began = time.monotonic()
    report = ReplayReport(limit_rows)
    horizon = _settled(engine)
    order = Order(engine, horizon.batch, tenant_id=tenant_id, after=after or "")
    run = _Run(engine, horizon, report, order.commands, on_progress)
    try:
        with _collecting_seldom():
            for tenant, steps in order.by_tenant():
                run.tenant(tenant, steps)
    finally:
        order.close()
    report.seconds = time.monotonic() - began
    return report


def _settled(engine: sa.Engine) -> Horizon:
    """Return a batch number up to which every batch has ended."""
    horizon = reads.horizon(engine)
    until = time.monotonic() + _WAIT_SECONDS
    while not reads.is_settled(engine, horizon):
        if time.monotonic() > until:
            raise ReplayCannotBegin
        time.sleep(_LOOK_SECONDS)
    return horizon


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Without Python's collector of cycles, which goes through all accounts again and again and finds
    nothing: with it a replay takes twice as long (measured)."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@dataclass(slots=True)
class _Run:
    """A replay in progress."""

    engine: sa.Engine
    horizon: Horizon
    report: ReplayReport
    of_all: int
    on_progress: Progress | None
    collected: int = 0

    def tenant(self, tenant_id: str, steps: Iterator[Step]) -> None:
        """Replay a tenant if the order is known from its first command on."""
        first = next(steps)
        if first.batch is None:
            self.report.without_order[tenant_id] = 1 + sum(step.batch is None for step in steps)
            return
        try:
            replay = TenantReplay(self.engine, tenant_id, self.horizon, self.report)
            replay.run(chain([first], steps), self._tell)
        except psycopg.DataError as error:  # a moment like infinity, which the ledger never writes
            self.report.add(Check.READABLE, {"tenant_id": tenant_id}, str(error), None)
        self.report.tenants += 1
        self.report.last_tenant = tenant_id
        self._tell()

    def _tell(self) -> None:
        if self.report.commands - self.collected >= _COLLECT_EVERY:
            self.collected = self.report.commands
            gc.collect()
        if self.on_progress:
            self.on_progress(self.report, self.of_all)
