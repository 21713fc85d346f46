"""Reads chunks: some commands in order, and the rows that were stored while they were applied."""

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
from pointledger.observability.replay import rows as row_format
from pointledger.observability.replay.compare import DigestMatcher, RowMatcher
from pointledger.observability.replay.order import OrderedCommand
from pointledger.observability.replay.records import is_on_trust, parsed
from pointledger.observability.replay.report import ReplayCheck, ReplayReport
from pointledger.observability.replay.rows import Row
from pointledger.storage.invariants.base import FIRST_ID
from pointledger.storage.replay import reads
from pointledger.storage.replay.digests import StoredBatch, digests_by_millisecond, stored_batches
from pointledger.storage.replay.reads import RecordedCommand, StoredOutcome

CHUNK_COMMANDS = 2_000  # about ten megabytes
_EXPIRY_CHANGING_KINDS = ("extend-expiry", "apply-expiry-policy")


class ImmutableTable(NamedTuple):
    """A table whose rows never change.

    `key` identifies a row. `id_column` holds the id that begins with the millisecond of the batch; without
    one, rows are found by their command. `order` sorts by the key; with it, rows are compared by digest,
    because a batch writes many of them.
    """

    name: str
    check: ReplayCheck
    columns: tuple[str, ...]
    key: tuple[str, ...]
    id_column: str | None = None
    order: Callable[[Row], Any] | None = None


ENTRIES = ImmutableTable(
    "entries", ReplayCheck.ENTRY, row_format.ENTRY_COLUMNS, ("id",), "id", row_format.entry_order
)
MOVES = ImmutableTable(
    "lot_moves",
    ReplayCheck.MOVE,
    row_format.MOVE_COLUMNS,
    ("entry_id", "lot_id", "kind"),
    "entry_id",
    row_format.move_order,
)
WALLET_ENTRIES = ImmutableTable(
    "wallet_entries", ReplayCheck.WALLET, row_format.WALLET_ENTRY_COLUMNS, ("id",), "id"
)
WALLET_LINES = ImmutableTable(
    "wallet_lines", ReplayCheck.WALLET, row_format.WALLET_LINE_COLUMNS, ("entry_id", "side"), "entry_id"
)
CHANGES = ImmutableTable(
    "expiry_changes", ReplayCheck.EXPIRY, row_format.EXPIRY_CHANGE_COLUMNS, ("lot_id", "nth")
)
AUDIT_LOG = ImmutableTable("audit_log", ReplayCheck.AUDIT_LOG, row_format.AUDIT_LOG_COLUMNS, ("command_id",))
TABLES_BY_DIGEST = (ENTRIES, MOVES)
TABLES_BY_ROW = (WALLET_ENTRIES, WALLET_LINES, CHANGES, AUDIT_LOG)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some commands, batch by batch, with the rows or digests of the milliseconds in which they were applied.

    `outcomes` has the stored outcomes of events that lost their facts: their matches come from there.
    """

    batches: list[tuple[StoredBatch, list[RecordedCommand]]]
    outcomes: dict[UUID, StoredOutcome]
    rows: dict[ImmutableTable, list[Row]]
    digests: dict[ImmutableTable, dict[int, bytes]]


RowsAndDigests = tuple[dict[ImmutableTable, list[Row]], dict[ImmutableTable, dict[int, bytes]]]


class ChunkReader:
    """Reads one tenant's chunks in order."""

    def __init__(self, engine: sa.Engine, tenant_id: str) -> None:
        self._engine = engine
        self._tenant_id = tenant_id
        self._reached = FIRST_ID  # all rows up to here have been read

    def read(self, commands: list[OrderedCommand]) -> Chunk:
        """Return the chunk of these commands."""
        ids = [each.id for each in commands]
        with reads.utc_snapshot(self._engine) as connection:
            kept = stored_batches(connection, ids)
            last = max(batch.last_at for batch in kept.values())
            _, to = ids_of_same_millisecond(first_id_of(last))
            found = reads.recorded_commands(connection, self._tenant_id, ids)
            outcomes = reads.outcomes(connection, [each.id for each in found if is_on_trust(each)])
            rows, digests = self._read_up_to(connection, max(to, self._reached))
            audited = {each.id: each.kind for each in found if may_be_audited(each.kind)}
            changing = [each.id for each in found if each.kind in _EXPIRY_CHANGING_KINDS]
            rows[CHANGES] = self._by_command(connection, CHANGES, changing)
            audit_records = self._by_command(connection, AUDIT_LOG, list(audited))
        rows[AUDIT_LOG] = [_comparable(row) for row in audit_records if row[1] == audited[row[0]]]
        recorded = iter(found)
        groups = groupby(commands, key=attrgetter("batch"))
        by_batch = [(kept[int(batch)], [next(recorded) for _ in group]) for batch, group in groups]
        return Chunk(by_batch, outcomes, rows, digests)

    def read_rest(self, to: UUID) -> RowsAndDigests:
        """Return the rows and digests stored after the last chunk."""
        with reads.utc_snapshot(self._engine) as connection:
            return self._read_up_to(connection, max(to, self._reached))

    def read_millisecond(self, table: ImmutableTable, millisecond: int) -> list[Row]:
        """Return the rows whose ids begin with the millisecond."""
        after, to = bounds_of_millisecond(millisecond)
        with reads.utc_snapshot(self._engine) as connection:
            return self._rows(connection, table, after=after, to=to)

    def _read_up_to(self, connection: sa.Connection, to: UUID) -> RowsAndDigests:
        after, self._reached = self._reached, to
        rows = {
            table: self._rows(connection, table, after=after, to=to)
            for table in TABLES_BY_ROW
            if table.id_column
        }
        digests = {
            table: digests_by_millisecond(
                connection, table.name, table.columns, table.key, tenant=self._tenant_id, after=after, to=to
            )
            for table in TABLES_BY_DIGEST
        }
        return rows, digests

    def _rows(self, connection: sa.Connection, table: ImmutableTable, **bounds: UUID) -> list[Row]:
        assert table.id_column
        return reads.by_id_range(
            connection, table.name, table.columns, table.id_column, tenant=self._tenant_id, **bounds
        )

    def _by_command(self, connection: sa.Connection, table: ImmutableTable, ids: list[UUID]) -> list[Row]:
        return reads.by_command(connection, table.name, table.columns, self._tenant_id, ids)


def row_matcher(report: ReplayReport, tenant_id: str, table: ImmutableTable) -> RowMatcher:
    """Return the comparison of one table's rows."""
    return RowMatcher(report, table.check, tenant_id, table.columns, table.key)


def digest_matcher(
    report: ReplayReport, tenant_id: str, table: ImmutableTable, reader: ChunkReader
) -> DigestMatcher:
    """Return the comparison of one table of `TABLES_BY_DIGEST`."""
    assert table.order
    by_row = row_matcher(report, tenant_id, table)
    return DigestMatcher(by_row, table.order, partial(reader.read_millisecond, table))


def audit_row(audit_record: AuditRecord, kind: str) -> Row:
    """Return the row of a decided audit record, without its id, which depends on the command's wait."""
    return _comparable(
        (
            audit_record.command_id, kind, audit_record.state, audit_record.refusal, audit_record.recorded_at,
            orjson.dumps(audit_record.before, option=orjson.OPT_UTC_Z),
            orjson.dumps(audit_record.after, option=orjson.OPT_UTC_Z),
        )
    )  # fmt: skip


def _comparable(row: Row) -> Row:
    return (*row[:-2], _comparable_state(row[-2]), _comparable_state(row[-1]))


def _comparable_state(text: str | bytes | None) -> Any:
    """Return the audited state without `next_expiry_at`, a bound that depends on what a batch had loaded."""
    state = parsed(text)
    if isinstance(state, dict) and isinstance(state.get("account"), dict):
        state["account"].pop("next_expiry_at", None)
    return state
