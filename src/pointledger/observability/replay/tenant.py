"""One tenant, replayed: its commands are decided and compared piece by piece; then what stands in the end."""

from collections.abc import Callable, Iterator
from itertools import groupby
from operator import attrgetter
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.decisions.replay import Decided, Part, decide_part
from pointledger.domain.program.matching import Match
from pointledger.ids import first_id_of
from pointledger.observability.replay import rows as made
from pointledger.observability.replay.order import Step, in_pieces
from pointledger.observability.replay.outcomes import compare_outcome
from pointledger.observability.replay.pieces import (
    ACTS,
    AT_ONCE,
    CHANGES,
    ENTRIES,
    MOVES,
    WALLET_ENTRIES,
    WALLET_LINES,
    Piece,
    Reader,
    act_row,
    matchings,
)
from pointledger.observability.replay.reading import Versions, accepted, is_on_trust, recorded_matches
from pointledger.observability.replay.report import Check, ReplayReport
from pointledger.observability.replay.shelves import Shelves
from pointledger.observability.replay.standing import Standing
from pointledger.storage.invariants.base import LAST_ID
from pointledger.storage.replay import reads
from pointledger.storage.replay.reads import Horizon, Recorded


class TenantReplay:
    """The replay of one tenant, from its first command."""

    def __init__(self, engine: sa.Engine, tenant_id: str, horizon: Horizon, report: ReplayReport) -> None:
        self._engine = engine
        self._tenant_id = tenant_id
        self._horizon = horizon
        self._report = report
        self._reader = Reader(engine, tenant_id)
        self._matchings = matchings(report, tenant_id)
        self._shelves = Shelves(engine, tenant_id)
        with reads.reading(engine) as connection:
            self._versions = Versions(connection, tenant_id)
            self._names = dict(reads.being_erased(connection, tenant_id))
        for told in self._versions.unreadable:
            report.add(Check.READABLE, {"tenant_id": tenant_id}, told, None)

    def run(self, steps: Iterator[Step], on_progress: Callable[[], None]) -> None:
        """Decides these commands again, all of the tenant's, and compares."""
        try:
            for ids in in_pieces(steps, AT_ONCE):
                self._replay(self._reader.read(ids))
                on_progress()
            self._finish()
        finally:
            self._shelves.close()

    def _replay(self, piece: Piece) -> None:
        for _, recorded in groupby(piece.recorded, key=attrgetter("batch")):
            self._decide(list(recorded))
        for table, matching in self._matchings.items():
            matching.kept(piece.kept[table])
            matching.meet()
        with reads.reading(self._engine) as connection:
            self._shelves.lots.compare(connection)
        self._report.commands += len(piece.recorded)

    def _decide(self, recorded: list[Recorded]) -> None:
        """One batch's part, as it was decided the first time."""
        commands: list[Accepted] = []
        read: list[Recorded] = []
        wanted: dict[UUID, list[Match]] = {}
        for each in recorded:
            try:
                commands.append(accepted(each, self._names))
            except Exception as error:
                compare_outcome(self._report, each, error, self._names)
                continue
            read.append(each)
            if is_on_trust(each):
                wanted[each.id] = recorded_matches(each, self._versions)
        first = recorded[0]
        part = Part(
            self._tenant_id,
            first.batch,
            first.applied_at,
            self._versions.tenant(first.tenant_version),
            self._versions.rules(first.rule_versions),
            commands,
            wanted,
        )
        decided = decide_part(self._shelves.state, part)
        self._report.on_trust += len(wanted)
        self._take(decided, read)
        for each, decision in zip(read, decided.made, strict=True):
            compare_outcome(self._report, each, decision, self._names)

    def _take(self, decided: Decided, recorded: list[Recorded]) -> None:
        """Awaits the rows that the part has written."""
        book, matchings = decided.book, self._matchings
        if book.entries:
            self._report.entries += len(book.entries)
            matchings[ENTRIES].decided(made.entries(book))
        if book.moves:
            matchings[MOVES].decided(made.moves(book))
        if book.wallets.entries:
            matchings[WALLET_ENTRIES].decided(made.wallet_entries(book))
            matchings[WALLET_LINES].decided(made.wallet_lines(book))
        if book.expiry_changes:
            matchings[CHANGES].decided(made.expiry_changes(book))
        if decided.acts:
            kinds = {each.id: each.kind or "" for each in recorded}
            matchings[ACTS].decided(act_row(act, kinds[act.command_id]) for act in decided.acts)

    def _finish(self) -> None:
        """What is left over, and what stands."""
        is_quiet = reads.horizon(self._engine).batch == self._horizon.batch
        to = LAST_ID if is_quiet else first_id_of(self._horizon.moment)
        for table, kept in self._reader.rest(to).items():
            self._matchings[table].kept(kept)
        for table, matching in self._matchings.items():
            unexpected, missing = matching.left_over()
            entry = table.columns.index(table.id_column) if table.id_column else 0
            later = self._later([row[entry] for row in unexpected]) if unexpected else set()
            for row in unexpected:
                if row[entry] not in later:
                    matching.differ(row, None)
            for row in missing:
                matching.differ(None, row)
        self._compare_what_stands()

    def _later(self, ids: list[UUID]) -> set[UUID]:
        """Entries of batches behind the last that is replayed: of the same milliseconds as those before."""
        with reads.reading(self._engine) as connection:
            return reads.later_entries(connection, self._tenant_id, self._horizon.batch, ids)

    def _compare_what_stands(self) -> None:
        Standing(self._engine, self._tenant_id, self._horizon.batch, self._report).compare(self._shelves)
