"""Replay: enqueues commands from JSON lines, in the order of the lines.

    {"kind": "apply-rule", "tenant_id": "grocer", "user_id": "u1", "event_type": "basket.paid",
     "event_id": "b-17", "occurred_at": "2017-01-01T11:53:26Z", "metadata": {"amount_minor": 1250}}

Replaying a file again applies nothing twice. A line is identified by its `id`, `idempotency_key` or
`event_id`. A line without an id gets one that is derived from its bytes. If it has no key either, the
number of identical lines before it also counts. So two identical lines in a file are two commands, and
replaying the file adds none. But an identical line in *another* file is the same command. To repeat a
command, give it an id or a key.

An invalid line is reported with its number and error, and does not affect the others.
"""

import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any
from uuid import UUID

from pointledger.cli.input import MAX_LINE_BYTES, parse
from pointledger.cli.progress import Tally
from pointledger.client.client import PointsClient
from pointledger.client.receipts import Receipt
from pointledger.domain.commands import AnyCommand, command_from
from pointledger.domain.values.actor import check_actor
from pointledger.errors import AcceptanceBusy, IdempotencyKeyReused, InvalidCommand
from pointledger.ids import derive_id, milliseconds_of

_CHUNK = 1000  # the most that the journal takes in one statement
_PAUSE_SECONDS = 0.02  # between checks while lanes are full
_STANDSTILL_SECONDS = 2.0  # wait for a full lane; a stuck lane must not stop the others
_SKIP_SECONDS = 20.0  # do not wait for a stuck lane again
_POLL_SECONDS = 0.25  # between polls for outcomes while there are lines to read
_POLLS = 5  # thousands of outcomes each time, because reading lines comes first
_BUSY_TRIES = 20  # while another open transaction uses the same key
_BUSY_SECONDS = 0.25
_ERRORS_REPORTED = 20  # enough to see what is wrong with a file

KEY_REUSED = "the id or idempotency key was used before with other content"


@dataclass(frozen=True, slots=True)
class BadLine:
    """An invalid line: its number, from 1, and the error."""

    line: int
    error: str


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a replay."""

    read: int
    accepted: int
    duplicates: int
    invalid: int
    done: int  # commands with an outcome; counted only if the replay waits


@dataclass(slots=True)
class ReplayReport:
    """The result of a replay.

    The counts after `waited` are set only if the replay waited. A duplicate counts with the outcome of its
    first command. `pending` is not 0 if outcomes stopped arriving.
    """

    read: int = 0
    accepted: int = 0
    duplicates: int = 0
    invalid: int = 0
    errors: list[BadLine] = field(default_factory=list)
    waited: bool = False
    applied: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    dead: int = 0
    pending: int = 0
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the report for JSON, with outcomes only if the replay waited."""
        shown: dict[str, Any] = {
            "read": self.read,
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "invalid": self.invalid,
            "errors": [{"line": bad.line, "error": bad.error} for bad in self.errors],
        }
        if self.waited:
            shown |= {
                "applied": self.applied,
                "refused": self.refused,
                "dead": self.dead,
                "seconds": round(self.seconds, 3),
            }
        if self.pending:
            shown["pending"] = self.pending
        return shown


def _ignore(_: object) -> None:
    pass


def replay(
    client: PointsClient,
    lines: Iterable[bytes | str],
    *,
    wait: bool = False,
    on_progress: Callable[[Progress], object] = _ignore,
    on_bad_line: Callable[[BadLine], None] = _ignore,
) -> ReplayReport:
    """Enqueue the lines' commands, a thousand at a time, while their lanes have room.

    With `wait`, return when each command has an outcome, or when no outcome has arrived for a minute.
    Raises the client's errors if the database stays unavailable. Commands that were accepted by then stay
    accepted, and replaying all lines again is safe.
    """
    return _Replay(client, wait, on_progress, on_bad_line).run(lines)


class _Replay:
    """One run of `replay`: its counts and its state between chunks."""

    def __init__(
        self,
        client: PointsClient,
        wait: bool,
        on_progress: Callable[[Progress], object],
        on_bad_line: Callable[[BadLine], None],
    ) -> None:
        self._client = client
        self._report = ReplayReport(waited=wait)
        self._tally = Tally(client)
        self._on_progress = on_progress
        self._on_bad_line = on_bad_line
        self._identical: Counter[bytes] = Counter()  # lines without id and key, by digest
        self._skipped: dict[int, float] = {}  # stuck lanes, and the time until which to skip them
        self._polled_at = 0.0

    def run(self, lines: Iterable[bytes | str]) -> ReplayReport:
        began = time.monotonic()
        report = self._report
        chunk: list[tuple[int, AnyCommand]] = []
        for numbered in self._commands(lines):
            chunk.append(numbered)
            if len(chunk) == _CHUNK:
                self._enqueue(chunk)
                chunk = []
        self._enqueue(chunk)
        if report.waited:
            self._tally.wait(self._report_progress)
            report.applied, report.dead = self._tally.applied, self._tally.dead
            report.refused = dict(sorted(self._tally.refused.items()))
            report.pending = self._tally.pending
        report.seconds = time.monotonic() - began
        self._report_progress()
        return report

    # --------------------------------------------------------------------------------------- reading

    def _commands(self, lines: Iterable[bytes | str]) -> Iterator[tuple[int, AnyCommand]]:
        """Yield the commands of valid lines with their numbers. Report invalid lines, skip blank ones."""
        for number, line in self._numbered(lines):
            raw = (line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line).strip()
            if not raw:
                continue
            self._report.read += 1
            try:
                yield number, self._command(raw)
            except InvalidCommand as error:
                self._bad(number, str(error.args[0]))

    def _numbered(self, lines: Iterable[bytes | str]) -> Iterator[tuple[int, bytes | str]]:
        number = 0
        try:
            for number, line in enumerate(lines, 1):
                yield number, line
        except (OSError, EOFError, zlib.error) as error:
            self._bad(number + 1, f"the rest of the file cannot be read: {error}")

    def _command(self, raw: bytes) -> AnyCommand:
        """Parse a line. Raises InvalidCommand."""
        if len(raw) > MAX_LINE_BYTES:
            raise InvalidCommand(f"longer than {MAX_LINE_BYTES} bytes")
        try:
            fields = parse(raw)
            check_actor(fields.get("actor") if isinstance(fields, dict) else None)
        except ValueError as error:
            raise InvalidCommand(str(error)) from None
        if not isinstance(fields, dict):
            raise InvalidCommand("not a JSON object")
        command = command_from(fields.pop("kind", None), fields)
        return command if "id" in fields else command.model_copy(update={"id": self._id(raw, command)})

    def _id(self, raw: bytes, command: AnyCommand) -> UUID:
        """Derive a stable id.

        It begins with a time, like every id, so that rows of one time are stored together.
        """
        digest = blake2b(raw, digest_size=16).digest()
        position = 0
        if command.key is None:
            position = self._identical[digest]
            self._identical[digest] += 1
        moment = max(milliseconds_of(command.occurred_at), 0) if command.occurred_at else 0
        return derive_id(UUID(bytes=digest), position, moment)

    def _bad(self, number: int, error: str) -> None:
        bad = BadLine(number, error)
        self._report.invalid += 1
        if len(self._report.errors) < _ERRORS_REPORTED:
            self._report.errors.append(bad)
        self._on_bad_line(bad)

    # ------------------------------------------------------------------------------------- accepting

    def _enqueue(self, chunk: list[tuple[int, AnyCommand]]) -> None:
        lanes = self._accept(chunk) if chunk else frozenset()
        self._poll()
        self._report_progress()
        self._wait_for_room(lanes, {command.tenant_id for _, command in chunk})

    def _accept(self, chunk: list[tuple[int, AnyCommand]]) -> frozenset[int]:
        """Accept the commands, and return their lanes.

        If a line's key was used before with other content, halve the chunk to find it, keeping the order.
        """
        try:
            receipt = self._accept_with_retry([command for _, command in chunk])
        except IdempotencyKeyReused:
            if len(chunk) == 1:
                self._bad(chunk[0][0], KEY_REUSED)
                return frozenset()
            half = len(chunk) // 2
            return self._accept(chunk[:half]) | self._accept(chunk[half:])
        self._report.accepted += receipt.new
        self._report.duplicates += len(chunk) - receipt.new
        if self._report.waited:
            self._tally.add(receipt.task_ids)
        return receipt.lanes

    def _accept_with_retry(self, commands: list[AnyCommand]) -> Receipt:
        new_before = 0
        for tries_left in reversed(range(_BUSY_TRIES)):
            try:
                receipt = self._client.accept(commands)
                return replace(receipt, new=receipt.new + new_before)
            except AcceptanceBusy as error:  # all others are accepted, and accepting them again is safe
                new_before += error.new
                if not tries_left:
                    raise
                time.sleep(_BUSY_SECONDS)
        raise AssertionError("the last try returns or raises")

    def _wait_for_room(self, lanes: frozenset[int], tenant_ids: set[str]) -> None:
        """Wait for the workers, so that a live command of these tenants is behind one batch at most."""

        def has_room(lanes: Iterable[int]) -> bool:
            return all(self._client.has_room({*lanes}, tenant_id) for tenant_id in tenant_ids)

        began = time.monotonic()
        wanted = {lane for lane in lanes if self._skipped.get(lane, 0.0) < began}
        while wanted and not has_room(wanted):
            if time.monotonic() - began > _STANDSTILL_SECONDS:
                full = (lane for lane in wanted if not has_room([lane]))
                self._skipped |= dict.fromkeys(full, time.monotonic() + _SKIP_SECONDS)
                return
            time.sleep(_PAUSE_SECONDS)
            self._poll()

    def _poll(self) -> None:
        """Count new outcomes, at intervals, because there are more lines to read."""
        if self._report.waited and time.monotonic() - self._polled_at > _POLL_SECONDS:
            for _ in range(_POLLS):
                if not self._tally.poll():
                    break
            self._report_progress()
            self._polled_at = time.monotonic()

    def _report_progress(self) -> None:
        report = self._report
        self._on_progress(
            Progress(report.read, report.accepted, report.duplicates, report.invalid, self._tally.done)
        )
