"""Replay: many commands from lines of JSON, one a line, accepted in the order of the lines.

    {"kind": "apply-rule", "tenant_id": "grocer", "user_id": "u1", "event_type": "basket.paid",
     "event_id": "b-17", "occurred_at": "2017-01-01T11:53:26Z", "metadata": {"amount_minor": 1250}}

Replaying a file again applies nothing twice. A line's `id`, `idempotency_key` or `event_id` says that it is
the same; a line that has no id gets one that is worked out from its bytes and, where it has no key either,
from how many identical lines came before it. So two identical lines of a file are two commands, and the
same file again is none; but an identical line of *another* file is the same command, too: what is meant
anew needs an id or a key.

A bad line is counted with its number and the rule it breaks, and its neighbours go on.
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
from pointledger.errors import AcceptanceBusy, IdempotencyKeyReused, InvalidCommand
from pointledger.ids import derive_id, milliseconds_of

_CHUNK = 1000  # as many as the journal takes in one statement
_PAUSE_SECONDS = 0.02  # while lanes are full
_STANDSTILL_SECONDS = 2.0  # a lane that does not move must not stop the others
_HELD_SECONDS = 20.0  # for so long it is not waited for again
_LOOK_SECONDS = 0.25  # between looks at outcomes while there is more to read
_LOOKS = 5  # thousands of outcomes each time: feeding comes first
_BUSY_TRIES = 20  # with somebody's open transaction that holds the same key
_BUSY_SECONDS = 0.25
_ERRORS_TOLD = 20  # in the report: enough to see what is wrong with a file

KEY_REUSED = "the id or idempotency key was used before with other content"


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no command, by its number from 1, and why."""

    line: int
    error: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay has come: lines read, and what became of them."""

    read: int
    accepted: int
    duplicates: int
    invalid: int
    done: int  # have their outcome; counted only where the replay waits


@dataclass(slots=True)
class ReplayReport:
    """What came of a replay. The last five count only where it waited, duplicates too: what their first
    came to. `pending` is left when nothing moved any more."""

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
        """The fields; those about outcomes only where it waited."""
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


def _quiet(_: object) -> None:
    """Nobody looks on."""


def replay(
    client: PointsClient,
    lines: Iterable[bytes | str],
    *,
    wait: bool = False,
    on_progress: Callable[[Progress], object] = _quiet,
    on_bad_line: Callable[[BadLine], None] = _quiet,
) -> ReplayReport:
    """Accepts the lines' commands, a thousand at a time, while their lanes have room.

    `wait`: also until each has its outcome, or nothing has moved for a minute. Raises what the client raises
    when the database stays away: what was accepted until then stays, and replaying it all again is safe.
    """
    return _Replay(client, wait, on_progress, on_bad_line).run(lines)


class _Replay:
    """One run of `replay`: its counts, and what it must remember between chunks."""

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
        self._twins: Counter[bytes] = Counter()  # lines without id and key, by digest
        self._held: dict[int, float] = {}  # lanes that did not move, and until when they are passed over
        self._looked_at = 0.0

    def run(self, lines: Iterable[bytes | str]) -> ReplayReport:
        began = time.monotonic()
        report = self._report
        chunk: list[tuple[int, AnyCommand]] = []
        for numbered in self._commands(lines):
            chunk.append(numbered)
            if len(chunk) == _CHUNK:
                self._feed(chunk)
                chunk = []
        self._feed(chunk)
        if report.waited:
            self._tally.wait(self._tell)
            report.applied, report.dead = self._tally.applied, self._tally.dead
            report.refused = dict(sorted(self._tally.refused.items()))
            report.pending = self._tally.pending
        report.seconds = time.monotonic() - began
        self._tell()
        return report

    # --------------------------------------------------------------------------------------- reading

    def _commands(self, lines: Iterable[bytes | str]) -> Iterator[tuple[int, AnyCommand]]:
        """The good lines with their numbers; the bad ones are noted, blank ones are nothing."""
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
            self._bad(number + 1, f"the file cannot be read further: {error}")

    def _command(self, raw: bytes) -> AnyCommand:
        """Raises InvalidCommand."""
        if len(raw) > MAX_LINE_BYTES:
            raise InvalidCommand(f"longer than {MAX_LINE_BYTES} bytes")
        try:
            fields = parse(raw)
        except ValueError as error:
            raise InvalidCommand(str(error)) from None
        if not isinstance(fields, dict):
            raise InvalidCommand("not a JSON object")
        command = command_from(fields.pop("kind", None), fields)
        return command if "id" in fields else command.model_copy(update={"id": self._id(raw, command)})

    def _id(self, raw: bytes, command: AnyCommand) -> UUID:
        """The same whenever the file is replayed; like any id it begins with a time, so that the rows of
        one time lie together."""
        digest = blake2b(raw, digest_size=16).digest()
        twin = 0
        if command.key is None:
            twin = self._twins[digest]
            self._twins[digest] += 1
        moment = max(milliseconds_of(command.occurred_at), 0) if command.occurred_at else 0
        return derive_id(UUID(bytes=digest), twin, moment)

    def _bad(self, number: int, error: str) -> None:
        bad = BadLine(number, error)
        self._report.invalid += 1
        if len(self._report.errors) < _ERRORS_TOLD:
            self._report.errors.append(bad)
        self._on_bad_line(bad)

    # ------------------------------------------------------------------------------------- accepting

    def _feed(self, chunk: list[tuple[int, AnyCommand]]) -> None:
        lanes = self._accept(chunk) if chunk else frozenset()
        self._look()
        self._tell()
        self._wait_for_room(lanes)

    def _accept(self, chunk: list[tuple[int, AnyCommand]]) -> frozenset[int]:
        """Accepts what can be accepted; the lanes it waits in. Halves find a line whose key was used before
        with other content, and keep the order."""
        try:
            receipt = self._client_accepts([command for _, command in chunk])
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

    def _client_accepts(self, commands: list[AnyCommand]) -> Receipt:
        new_before = 0
        for tries_left in reversed(range(_BUSY_TRIES)):
            try:
                receipt = self._client.accept(commands)
                return replace(receipt, new=receipt.new + new_before)
            except AcceptanceBusy as error:  # all others are accepted, and again is safe
                new_before += error.new
                if not tries_left:
                    raise
                time.sleep(_BUSY_SECONDS)
        raise AssertionError("the last try returns or raises")

    def _wait_for_room(self, lanes: frozenset[int]) -> None:
        """Lets the workers catch up, so that a live command waits behind one batch at most."""
        began = time.monotonic()
        wanted = {lane for lane in lanes if self._held.get(lane, 0.0) < began}
        while wanted and not self._client.has_room(wanted):
            if time.monotonic() - began > _STANDSTILL_SECONDS:
                full = (lane for lane in wanted if not self._client.has_room([lane]))
                self._held |= dict.fromkeys(full, time.monotonic() + _HELD_SECONDS)
                return
            time.sleep(_PAUSE_SECONDS)
            self._look()

    def _look(self) -> None:
        """Counts the outcomes that are there, now and then: there is more to read."""
        if self._report.waited and time.monotonic() - self._looked_at > _LOOK_SECONDS:
            for _ in range(_LOOKS):
                if not self._tally.look():
                    break
            self._tell()
            self._looked_at = time.monotonic()

    def _tell(self) -> None:
        report = self._report
        self._on_progress(
            Progress(report.read, report.accepted, report.duplicates, report.invalid, self._tally.done)
        )
