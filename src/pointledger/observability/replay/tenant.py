"""Replays one tenant: decides and compares its commands chunk by chunk, then compares the final state."""

from collections.abc import Callable, Generator, Iterator, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.commands.outcomes import Decision
from pointledger.domain.decisions.replay import DecidedBatch, TenantBatch, decide_batch
from pointledger.ids import first_id_of
from pointledger.observability.replay import rows as row_format
from pointledger.observability.replay.chunks import (
    AUDIT_LOG,
    CHANGES,
    CHUNK_COMMANDS,
    ENTRIES,
    MOVES,
    TABLES_BY_DIGEST,
    TABLES_BY_ROW,
    WALLET_ENTRIES,
    WALLET_LINES,
    Chunk,
    ChunkReader,
    ImmutableTable,
    audit_row,
    digest_matcher,
    row_matcher,
)
from pointledger.observability.replay.compare import DigestMatcher, RowMatcher
from pointledger.observability.replay.final_state import FinalStateComparison
from pointledger.observability.replay.order import OrderedCommand, in_chunks
from pointledger.observability.replay.outcomes import compare_outcome
from pointledger.observability.replay.records import (
    ProgramVersions,
    accepted_command,
    may_be_too_dear,
    recorded_matches,
)
from pointledger.observability.replay.report import ReplayCheck, ReplayReport
from pointledger.observability.replay.state import SpilledState
from pointledger.storage.invariants.base import LAST_ID
from pointledger.storage.replay import reads
from pointledger.storage.replay.digests import StoredBatch, digest_of_outcomes
from pointledger.storage.replay.reads import RecordedCommand, ReplayHorizon, StoredOutcome


class TenantReplay:
    """The replay of one tenant, from its first command."""

    def __init__(
        self, engine: sa.Engine, tenant_id: str, horizon: ReplayHorizon, report: ReplayReport
    ) -> None:
        self._engine = engine
        self._tenant_id = tenant_id
        self._horizon = horizon
        self._report = report
        self._reader = ChunkReader(engine, tenant_id)
        self._by_row = {table: row_matcher(report, tenant_id, table) for table in TABLES_BY_ROW}
        self._by_digest = {
            table: digest_matcher(report, tenant_id, table, self._reader) for table in TABLES_BY_DIGEST
        }
        self._spilled = SpilledState(engine, tenant_id)
        with reads.utc_snapshot(engine) as connection:
            self._versions = ProgramVersions(connection, tenant_id)
            self._names = dict(reads.unfinished_erasures(connection, tenant_id))
        for error in self._versions.unreadable:
            report.add(ReplayCheck.READABLE, {"tenant_id": tenant_id}, error, None)

    def run(self, commands: Iterator[OrderedCommand], on_progress: Callable[[], None]) -> None:
        """Decide all of the tenant's commands again, and compare the results."""
        with closing(self._spilled):
            with closing(self._chunks(commands)) as chunks:
                for chunk in chunks:
                    self._replay(chunk)
                    on_progress()
            self._finish()

    def _chunks(self, commands: Iterator[OrderedCommand]) -> Generator[Chunk, None, None]:
        """Yield the chunks. A thread reads the next chunk, so Postgres works while this one is decided."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="replay-read") as reader:
            following: Future[Chunk] | None = None
            for some in in_chunks(commands, CHUNK_COMMANDS):
                current, following = following, reader.submit(self._reader.read, some)
                if current:
                    yield current.result()
            if following:
                yield following.result()

    def _replay(self, chunk: Chunk) -> None:
        for batch, recorded in chunk.batches:
            self._decide(batch, recorded, chunk.outcomes)
            self._report.commands += len(recorded)
        for table, by_row in self._by_row.items():
            by_row.add_stored(chunk.rows[table])
            by_row.match()
        for table, by_digest in self._by_digest.items():
            by_digest.add_stored(chunk.digests[table])
            by_digest.match()
        with reads.utc_snapshot(self._engine) as connection:
            self._spilled.lots.drop_matching(connection)

    def _decide(
        self, batch: StoredBatch, recorded: list[RecordedCommand], outcomes: dict[UUID, StoredOutcome]
    ) -> None:
        """Decide the tenant's part of a batch as the worker did."""
        commands, errors = self._commands(recorded)
        tenant, rules = self._versions.tenant(batch.tenant_version), self._versions.rules(batch.rule_versions)
        dear = [each.command.id for each in commands if may_be_too_dear(each, tenant, rules)]
        if dear:
            with reads.utc_snapshot(self._engine) as connection:
                outcomes = outcomes | reads.outcomes(connection, dear)
        wanted = {
            each.id: recorded_matches(outcomes[each.id], self._versions)
            for each in recorded
            if outcomes and each.id in outcomes and each.id not in errors
        }
        part = TenantBatch(self._tenant_id, batch.number, batch.applied_at, tenant, rules, commands, wanted)
        decided = decide_batch(self._spilled.tenant_state, part)
        self._report.on_trust += len(wanted)
        self._add_decided_rows(decided, recorded)
        decisions = iter(decided.made)
        results = [errors[each.id] if each.id in errors else next(decisions) for each in recorded]
        self._compare_outcomes(batch, recorded, results, wanted.keys())

    def _commands(self, recorded: list[RecordedCommand]) -> tuple[list[Accepted], dict[UUID, Exception]]:
        """Return the commands, and the errors of those that cannot be read."""
        commands: list[Accepted] = []
        errors: dict[UUID, Exception] = {}
        for each in recorded:
            try:
                commands.append(accepted_command(self._tenant_id, each, self._names))
            except Exception as error:
                errors[each.id] = error
        return commands, errors

    def _compare_outcomes(
        self,
        batch: StoredBatch,
        recorded: list[RecordedCommand],
        decisions: list[Decision | Exception],
        on_trust: Set[UUID],
    ) -> None:
        """Compare the outcomes of a batch by their digest, and one by one only if that differs.

        What the rules wanted for the commands `on_trust` is as recorded.
        """
        if digest_of_outcomes(decisions) == batch.outcomes_digest:
            return
        with reads.utc_snapshot(self._engine) as connection:
            kept = reads.outcomes(connection, [each.id for each in recorded])
        for each, decision in zip(recorded, decisions, strict=True):
            outcome, is_trusted = kept[each.id], each.id in on_trust
            compare_outcome(
                self._report, self._tenant_id, each, outcome, decision, self._names, is_on_trust=is_trusted
            )

    def _add_decided_rows(self, decided: DecidedBatch, recorded: list[RecordedCommand]) -> None:
        """Add the decided rows of the part."""
        book, by_row = decided.book, self._by_row
        if book.entries:
            self._report.entries += len(book.entries)
            self._by_digest[ENTRIES].add_decided(book.milliseconds, row_format.entry_rows(book))
        if book.moves:
            self._by_digest[MOVES].add_decided(book.milliseconds, row_format.move_rows(book))
        if book.wallets.entries:
            by_row[WALLET_ENTRIES].add_decided(row_format.wallet_entry_rows(book))
            by_row[WALLET_LINES].add_decided(row_format.wallet_line_rows(book))
        if book.expiry_changes:
            by_row[CHANGES].add_decided(row_format.expiry_change_rows(book))
        if decided.audit_records:
            kinds = {each.id: each.kind or "" for each in recorded}
            by_row[AUDIT_LOG].add_decided(
                audit_row(audit_record, kinds[audit_record.command_id])
                for audit_record in decided.audit_records
            )

    def _finish(self) -> None:
        """Compare the remaining rows, and the final state."""
        is_quiet = reads.horizon(self._engine).batch == self._horizon.batch
        to = LAST_ID if is_quiet else first_id_of(self._horizon.moment)
        rows, digests = self._reader.read_rest(to)
        for table, stored_rows in rows.items():
            self._by_row[table].add_stored(stored_rows)
        for table, stored_digests in digests.items():
            self._by_digest[table].add_stored(stored_digests)
        for table, matcher in (self._by_row | self._by_digest).items():
            self._report_unmatched(table, matcher)
        final_state = FinalStateComparison(self._engine, self._tenant_id, self._horizon.batch, self._report)
        final_state.compare(self._spilled)

    def _report_unmatched(self, table: ImmutableTable, matcher: RowMatcher | DigestMatcher) -> None:
        """Report rows without a counterpart, except those of batches after the horizon."""
        unexpected, missing = matcher.unmatched()
        entry = table.columns.index(table.id_column) if table.id_column else 0
        later = self._later_entries([row[entry] for row in unexpected]) if unexpected else set()
        for row in unexpected:
            if row[entry] not in later:
                matcher.report(row, None)
        for row in missing:
            matcher.report(None, row)

    def _later_entries(self, ids: list[UUID]) -> set[UUID]:
        """Return the entries of batches after the horizon. They can share a millisecond with earlier ones."""
        with reads.utc_snapshot(self._engine) as connection:
            return reads.later_entries(connection, self._tenant_id, self._horizon.batch, ids)
