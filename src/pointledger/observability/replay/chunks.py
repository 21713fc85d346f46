"""Reads chunks: some commands in order, and the rows stored while they were applied."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import sqlalchemy as sa

from pointledger.domain.decisions.audit import AuditRecord, may_be_audited
from pointledger.ids import bounds_of_millisecond, first_id_of, ids_of_same_millisecond
from pointledger.observability.replay import rows as made
from pointledger.observability.replay.compare import InBulk, Matching
from pointledger.observability.replay.order import Step
from pointledger.observability.replay.records import is_on_trust, parsed
from pointledger.observability.replay.report import Check, ReplayReport
from pointledger.observability.replay.rows import Row
from pointledger.storage.invariants.base import FIRST_ID
from pointledger.storage.replay import reads
from pointledger.storage.replay.digests import Batch, batches, by_millisecond
from pointledger.storage.replay.reads import KeptOutcome, Recorded

AT_ONCE = 2_000  # commands: some ten megabytes
_MOVING_EXPIRIES = ("extend-expiry", "apply-expiry-policy")


class Table(NamedTuple):
    """A table whose rows never change. `key` identifies a row; `id_column`: where the id is that begins with
    the time; None: they are found by their command. `order`: of the key, where a batch writes so many rows
    that they are compared in bulk."""

    name: str
    check: Check
    columns: tuple[str, ...]
    key: tuple[str, ...]
    id_column: str | None = None
    order: Callable[[Row], Any] | None = None


ENTRIES = Table("entries", Check.ENTRY, made.ENTRIES, ("id",), "id", made.entry_order)
MOVES = Table(
    "lot_moves", Check.MOVE, made.MOVES, ("entry_id", "lot_id", "kind"), "entry_id", made.move_order
)
WALLET_ENTRIES = Table("wallet_entries", Check.WALLET, made.WALLET_ENTRIES, ("id",), "id")
WALLET_LINES = Table("wallet_lines", Check.WALLET, made.WALLET_LINES, ("entry_id", "side"), "entry_id")
CHANGES = Table("expiry_changes", Check.EXPIRY, made.CHANGES, ("lot_id", "nth"))
AUDIT_LOG = Table("audit_log", Check.AUDIT_LOG, made.AUDIT_LOG, ("command_id",))
TABLES = (ENTRIES, MOVES, WALLET_ENTRIES, WALLET_LINES, CHANGES, AUDIT_LOG)


IN_BULK = tuple(table for table in TABLES if table.order)
ROW_BY_ROW = tuple(table for table in TABLES if not table.order)


@dataclass(frozen=True, slots=True)
class Piece:
    """Commands, batch by batch, and what is kept of the milliseconds in which they were applied: by table the
    rows, or their digests. `outcomes`: of commands that are decided by what they came to."""

    batches: list[tuple[Batch, list[Recorded]]]
    outcomes: dict[UUID, KeptOutcome]
    rows: dict[Table, list[Row]]
    digests: dict[Table, dict[int, bytes]]


class Reader:
    """Reads one tenant's chunks in order."""

    def __init__(self, engine: sa.Engine, tenant_id: str) -> None:
        self._engine = engine
        self._tenant_id = tenant_id
        self._reached = FIRST_ID  # all rows up to here have been read

    def read(self, steps: list[Step]) -> Piece:
        """Return the chunk of these commands."""
        ids = [step.id for step in steps]
        with reads.reading(self._engine) as connection:
            kept = batches(connection, ids)
            last = max(batch.last_at for batch in kept.values())
            _, to = ids_of_same_millisecond(first_id_of(last))
            found = reads.recorded(connection, self._tenant_id, ids)
            outcomes = reads.outcomes(connection, [each.id for each in found if is_on_trust(each)])
            rows, digests = self._by_time(connection, max(to, self._reached))
            acting = {each.id: each.kind for each in found if may_be_audited(each.kind)}
            moving = [each.id for each in found if each.kind in _MOVING_EXPIRIES]
            rows[CHANGES] = self._by_command(connection, CHANGES, moving)
            audit_records = self._by_command(connection, AUDIT_LOG, list(acting))
        rows[AUDIT_LOG] = [_audit_record(row) for row in audit_records if row[1] == acting[row[0]]]
        commands = iter(found)
        parts = groupby(steps, key=attrgetter("batch"))
        by_batch = [(kept[int(batch)], [next(commands) for _ in part]) for batch, part in parts]
        return Piece(by_batch, outcomes, rows, digests)

    def rest(self, to: UUID) -> tuple[dict[Table, list[Row]], dict[Table, dict[int, bytes]]]:
        """Return the rows and digests stored after the last chunk."""
        with reads.reading(self._engine) as connection:
            return self._by_time(connection, max(to, self._reached))

    def of_millisecond(self, table: Table, millisecond: int) -> list[Row]:
        """Return the rows whose ids begin with the millisecond."""
        after, to = bounds_of_millisecond(millisecond)
        with reads.reading(self._engine) as connection:
            return self._rows(connection, table, after=after, to=to)

    def _by_time(
        self, connection: sa.Connection, to: UUID
    ) -> tuple[dict[Table, list[Row]], dict[Table, dict[int, bytes]]]:
        after, self._reached = self._reached, to
        rows = {
            table: self._rows(connection, table, after=after, to=to)
            for table in ROW_BY_ROW
            if table.id_column
        }
        digests = {
            table: by_millisecond(
                connection, table.name, table.columns, table.key, tenant=self._tenant_id, after=after, to=to
            )
            for table in IN_BULK
        }
        return rows, digests

    def _rows(self, connection: sa.Connection, table: Table, **bounds: UUID) -> list[Row]:
        assert table.id_column
        return reads.by_moment(
            connection, table.name, table.columns, table.id_column, tenant=self._tenant_id, **bounds
        )

    def _by_command(self, connection: sa.Connection, table: Table, ids: list[UUID]) -> list[Row]:
        return reads.by_command(connection, table.name, table.columns, self._tenant_id, ids)


def matching(report: ReplayReport, tenant_id: str, table: Table) -> Matching:
    """Return the comparison of one table's rows."""
    return Matching(report, table.check, tenant_id, table.columns, table.key)


def in_bulk(report: ReplayReport, tenant_id: str, table: Table, reader: Reader) -> InBulk:
    """Return the comparison of one table of `IN_BULK`."""
    assert table.order
    return InBulk(matching(report, tenant_id, table), table.order, partial(reader.of_millisecond, table))


def audit_row(audit_record: AuditRecord, kind: str) -> Row:
    """Return the row of a decided audit record, without its id, which depends on the command's wait."""
    return _audit_record(
        (
            audit_record.command_id, kind, audit_record.state, audit_record.refusal, audit_record.recorded_at,
            orjson.dumps(audit_record.before, option=orjson.OPT_UTC_Z),
            orjson.dumps(audit_record.after, option=orjson.OPT_UTC_Z),
        )
    )  # fmt: skip


def _audit_record(row: Row) -> Row:
    return (*row[:-2], _standing(row[-2]), _standing(row[-1]))


def _standing(text: str | bytes | None) -> Any:
    """Return the recorded state without `next_expiry_at`, a bound that depends on what was loaded."""
    stands = parsed(text)
    if isinstance(stands, dict) and isinstance(stands.get("account"), dict):
        stands["account"].pop("next_expiry_at", None)
    return stands
