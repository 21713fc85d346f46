"""Pieces: some commands in order, with the rows that are kept from the time in which they were applied."""

from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import sqlalchemy as sa

from pointledger.domain.decisions.audit import Act, may_be_act
from pointledger.ids import first_id_of, ids_of_same_millisecond
from pointledger.observability.replay import rows as made
from pointledger.observability.replay.comparing import Matching
from pointledger.observability.replay.reading import told
from pointledger.observability.replay.report import Check, ReplayReport
from pointledger.observability.replay.rows import Row
from pointledger.storage.invariants.base import FIRST_ID
from pointledger.storage.replay import reads
from pointledger.storage.replay.reads import Recorded

AT_ONCE = 2_000  # commands: some ten megabytes
_MOVING_EXPIRIES = ("extend-expiry", "apply-expiry-policy")


class Table(NamedTuple):
    """A table whose rows never change. `key` tells them apart; `id_column`: where the id is that begins with
    the time; None: they are found by their command."""

    name: str
    check: Check
    columns: tuple[str, ...]
    key: tuple[str, ...]
    id_column: str | None = None


ENTRIES = Table("entries", Check.ENTRY, made.ENTRIES, ("id",), "id")
MOVES = Table("lot_moves", Check.MOVE, made.MOVES, ("entry_id", "lot_id", "kind"), "entry_id")
WALLET_ENTRIES = Table("wallet_entries", Check.WALLET, made.WALLET_ENTRIES, ("id",), "id")
WALLET_LINES = Table("wallet_lines", Check.WALLET, made.WALLET_LINES, ("entry_id", "side"), "entry_id")
CHANGES = Table("expiry_changes", Check.EXPIRY, made.CHANGES, ("lot_id", "nth"))
ACTS = Table("acts", Check.ACT, made.ACTS, ("command_id",))
TABLES = (ENTRIES, MOVES, WALLET_ENTRIES, WALLET_LINES, CHANGES, ACTS)


@dataclass(frozen=True, slots=True)
class Piece:
    """Commands with their outcomes, and by table the rows of the milliseconds in which they were applied."""

    recorded: list[Recorded]
    kept: dict[Table, list[Row]]


class Reader:
    """Reads one tenant's pieces, the one after the other."""

    def __init__(self, engine: sa.Engine, tenant_id: str) -> None:
        self._engine = engine
        self._tenant_id = tenant_id
        self._reached = FIRST_ID  # all rows up to here have been read

    def read(self, ids: list[str]) -> Piece:
        """The piece of these commands."""
        with reads.reading(self._engine) as connection:
            found = reads.recorded(connection, ids)
            last = max(each.applied_at for each in found)
            _, to = ids_of_same_millisecond(first_id_of(last))
            kept = self._by_time(connection, max(to, self._reached))
            acting = [each.id for each in found if may_be_act(each.kind)]
            moving = [each.id for each in found if each.kind in _MOVING_EXPIRIES]
            for table, by in ((CHANGES, moving), (ACTS, acting)):
                kept[table] = reads.by_command(connection, table.name, table.columns, self._tenant_id, by)
        kinds = {each.id: each.kind for each in found}
        kept[ACTS] = [_act(row) for row in kept[ACTS] if row[1] == kinds[row[0]]]
        return Piece(found, kept)

    def rest(self, to: UUID) -> dict[Table, list[Row]]:
        """What is kept behind the last piece."""
        with reads.reading(self._engine) as connection:
            return self._by_time(connection, max(to, self._reached))

    def _by_time(self, connection: sa.Connection, to: UUID) -> dict[Table, list[Row]]:
        after, self._reached = self._reached, to
        bounds: dict[str, Any] = {"tenant": self._tenant_id, "after": after, "to": to}
        return {
            table: reads.by_moment(connection, table.name, table.columns, table.id_column, **bounds)
            for table in TABLES
            if table.id_column
        }


def matchings(report: ReplayReport, tenant_id: str) -> dict[Table, Matching]:
    """For each table, what meets what."""
    return {table: Matching(report, table.check, tenant_id, table.columns, table.key) for table in TABLES}


def act_row(act: Act, kind: str) -> Row:
    """The row of an act that was decided, without its id: that rests on when the command began to wait."""
    return _act(
        (
            act.command_id, kind, act.state, act.refusal, act.recorded_at,
            orjson.dumps(act.before, option=orjson.OPT_UTC_Z),
            orjson.dumps(act.after, option=orjson.OPT_UTC_Z),
        )
    )  # fmt: skip


def _act(row: Row) -> Row:
    return (*row[:-2], _standing(row[-2]), _standing(row[-1]))


def _standing(text: str | bytes | None) -> Any:
    """What an act tells, without when the next lot is due: that is a bound, and rests on what was loaded."""
    stands = told(text)
    if isinstance(stands, dict) and isinstance(stands.get("account"), dict):
        stands["account"].pop("next_expiry_at", None)
    return stands
