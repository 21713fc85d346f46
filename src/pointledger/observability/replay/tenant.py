"""Replays one tenant: decides and compares its commands in chunks, then compares the final state."""

from collections.abc import Callable, Generator, Iterator, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.commands.outcomes import Decision
from pointledger.domain.decisions.replay import DecidedBatch, TenantBatch, decide_batch
from pointledger.ids import first_id_of
from pointledger.observability.replay import rows as made
from pointledger.observability.replay.chunks import (
    AT_ONCE,
    AUDIT_LOG,
    CHANGES,
    ENTRIES,
    IN_BULK,
    MOVES,
    ROW_BY_ROW,
    WALLET_ENTRIES,
    WALLET_LINES,
    Piece,
    Reader,
    audit_row,
    in_bulk,
    matching,
)
from pointledger.observability.replay.final_state import Standing
from pointledger.observability.replay.order import Step, in_pieces
from pointledger.observability.replay.outcomes import compare_outcome
from pointledger.observability.replay.records import Versions, accepted, may_be_too_dear, recorded_matches
from pointledger.observability.replay.report import Check, ReplayReport
from pointledger.observability.replay.state import Shelves
from pointledger.storage.invariants.base import LAST_ID
from pointledger.storage.replay import reads
from pointledger.storage.replay.digests import Batch, of_outcomes
from pointledger.storage.replay.reads import Horizon, KeptOutcome, Recorded


class TenantReplay:
    """The replay of one tenant, from its first command."""

    def __init__(self, engine: sa.Engine, tenant_id: str, horizon: Horizon, report: ReplayReport) -> None:
        self._engine = engine
        self._tenant_id = tenant_id
        self._horizon = horizon
        self._report = report
        self._reader = Reader(engine, tenant_id)
        self._rows = {table: matching(report, tenant_id, table) for table in ROW_BY_ROW}
        self._bulk = {table: in_bulk(report, tenant_id, table, self._reader) for table in IN_BULK}
        self._shelves = Shelves(engine, tenant_id)
        with reads.reading(engine) as connection:
            self._versions = Versions(connection, tenant_id)
            self._names = dict(reads.being_erased(connection, tenant_id))
        for error in self._versions.unreadable:
            report.add(Check.READABLE, {"tenant_id": tenant_id}, error, None)

    def run(self, steps: Iterator[Step], on_progress: Callable[[], None]) -> None:
        """Decide all of the tenant's commands again, and compare the results."""
        with closing(self._shelves):
            with closing(self._pieces(steps)) as pieces:
                for piece in pieces:
                    self._replay(piece)
                    on_progress()
            self._finish()

    def _pieces(self, steps: Iterator[Step]) -> Generator[Piece, None, None]:
        """Yield the chunks. A thread reads the next one meanwhile, so that Postgres works in parallel."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="replay-read") as ahead:
            next_one: Future[Piece] | None = None
            for some in in_pieces(steps, AT_ONCE):
                this_one, next_one = next_one, ahead.submit(self._reader.read, some)
                if this_one:
                    yield this_one.result()
            if next_one:
                yield next_one.result()

    def _replay(self, piece: Piece) -> None:
        for batch, recorded in piece.batches:
            self._decide(batch, recorded, piece.outcomes)
            self._report.commands += len(recorded)
        for table, found in self._rows.items():
            found.kept(piece.rows[table])
            found.meet()
        for table, bulk in self._bulk.items():
            bulk.kept(piece.digests[table])
            bulk.meet()
        with reads.reading(self._engine) as connection:
            self._shelves.lots.compare(connection)

    def _decide(self, batch: Batch, recorded: list[Recorded], outcomes: dict[UUID, KeptOutcome]) -> None:
        """Decide the tenant's part of a batch as it was decided the first time."""
        commands, errors = self._commands(recorded)
        tenant, rules = self._versions.tenant(batch.tenant_version), self._versions.rules(batch.rule_versions)
        dear = [each.command.id for each in commands if may_be_too_dear(each, tenant, rules)]
        if dear:
            with reads.reading(self._engine) as connection:
                outcomes = outcomes | reads.outcomes(connection, dear)
        wanted = {
            each.id: recorded_matches(outcomes[each.id], self._versions)
            for each in recorded
            if outcomes and each.id in outcomes and each.id not in errors
        }
        part = TenantBatch(self._tenant_id, batch.number, batch.applied_at, tenant, rules, commands, wanted)
        decided = decide_batch(self._shelves.state, part)
        self._report.on_trust += len(wanted)
        self._take(decided, recorded)
        decisions = iter(decided.made)
        results = [errors[each.id] if each.id in errors else next(decisions) for each in recorded]
        self._compare_outcomes(batch, recorded, results, wanted.keys())

    def _commands(self, recorded: list[Recorded]) -> tuple[list[Accepted], dict[UUID, Exception]]:
        """Return the commands, and the errors of those that cannot be read."""
        commands: list[Accepted] = []
        errors: dict[UUID, Exception] = {}
        for each in recorded:
            try:
                commands.append(accepted(self._tenant_id, each, self._names))
            except Exception as error:
                errors[each.id] = error
        return commands, errors

    def _compare_outcomes(
        self,
        batch: Batch,
        recorded: list[Recorded],
        made: list[Decision | Exception],
        on_trust: Set[UUID],
    ) -> None:
        """Compare the outcomes of a batch by their digest, and one by one only if that differs.

        What the rules wanted for the commands `on_trust` is as recorded.
        """
        if of_outcomes(made) == batch.outcomes:
            return
        with reads.reading(self._engine) as connection:
            kept = reads.outcomes(connection, [each.id for each in recorded])
        for each, decision in zip(recorded, made, strict=True):
            outcome, is_trusted = kept[each.id], each.id in on_trust
            compare_outcome(
                self._report, self._tenant_id, each, outcome, decision, self._names, is_on_trust=is_trusted
            )

    def _take(self, decided: DecidedBatch, recorded: list[Recorded]) -> None:
        """Add the decided rows of the part."""
        book, found = decided.book, self._rows
        if book.entries:
            self._report.entries += len(book.entries)
            self._bulk[ENTRIES].decided(book.milliseconds, made.entries(book))
        if book.moves:
            self._bulk[MOVES].decided(book.milliseconds, made.moves(book))
        if book.wallets.entries:
            found[WALLET_ENTRIES].decided(made.wallet_entries(book))
            found[WALLET_LINES].decided(made.wallet_lines(book))
        if book.expiry_changes:
            found[CHANGES].decided(made.expiry_changes(book))
        if decided.audit_records:
            kinds = {each.id: each.kind or "" for each in recorded}
            found[AUDIT_LOG].decided(
                audit_row(audit_record, kinds[audit_record.command_id])
                for audit_record in decided.audit_records
            )

    def _finish(self) -> None:
        """Compare the remaining rows, and the final state."""
        is_quiet = reads.horizon(self._engine).batch == self._horizon.batch
        to = LAST_ID if is_quiet else first_id_of(self._horizon.moment)
        rows, digests = self._reader.rest(to)
        for table, kept in rows.items():
            self._rows[table].kept(kept)
        for table, found in digests.items():
            self._bulk[table].kept(found)
        for table, matched in (self._rows | self._bulk).items():
            unexpected, missing = matched.left_over()
            entry = table.columns.index(table.id_column) if table.id_column else 0
            later = self._later([row[entry] for row in unexpected]) if unexpected else set()
            for row in unexpected:
                if row[entry] not in later:
                    matched.differ(row, None)
            for row in missing:
                matched.differ(None, row)
        self._compare_what_stands()

    def _later(self, ids: list[UUID]) -> set[UUID]:
        """Entries of batches behind the last that is replayed: of the same milliseconds as those before."""
        with reads.reading(self._engine) as connection:
            return reads.later_entries(connection, self._tenant_id, self._horizon.batch, ids)

    def _compare_what_stands(self) -> None:
        Standing(self._engine, self._tenant_id, self._horizon.batch, self._report).compare(self._shelves)
