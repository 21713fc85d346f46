"""The journal of a client: what it has sent, and what it was told, in a file of its own that is on the disk
before the client goes on. It is the witness against the ledger, which never sees it.

A line is a JSON object. `at` is the machine's monotonic clock in nanoseconds, which all processes share.

    {"call": 7, "at": ..., "door": "library", "commands": [["earn", {...}], ...]}   before the call goes out
    {"call": 7, "at": ..., "told": "accepted", "ids": [...]}     afterwards: also "refused"
    {"at": ..., "unknown": "01M7..."}                            an accepted task id that is not known
    {"at": ..., "backwards": "user-7"}                           an account that is older than it was

A call without an answer is ambiguous. It is sent again, the same commands with the same ids, until the answer
is clear; from the first sending to the last answer is one interval. A door may give commands other ids.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from pointledger.domain.commands import AnyCommand, command_from
from pointledger.ids import parse_id, show_id

ACCEPTED, REFUSED = "accepted", "refused"


@dataclass(slots=True)
class Call:
    """Commands that were sent together through a door. `told` is None while it is ambiguous."""

    number: int
    door: str
    sent_at: int
    commands: list[AnyCommand]
    told: str | None = None
    told_at: int = 0

    def be_told(self, told: str, at: int, ids: Sequence[UUID]) -> None:
        """The answer is clear; `ids`, if any: what its commands are called now."""
        self.told, self.told_at = told, at
        if ids:
            named = zip(self.commands, ids, strict=True)
            self.commands = [command.model_copy(update={"id": its_id}) for command, its_id in named]


class Journal:
    """Writes a client's journal; what it says has reached the disk when a method returns."""

    def __init__(self, path: Path) -> None:
        made = calls(path)
        self.count = len(made)
        self.ambiguous = [call for call in made if call.told is None]  # they must be sent again
        if path.exists():
            path.write_bytes(b"".join(_whole_lines(path)))  # a death may have cut the last one
        self._file = path.open("ab")

    def close(self) -> None:
        self._file.close()

    def send(self, commands: list[AnyCommand], door: str) -> Call:
        """Notes a call that goes out next."""
        self.count += 1
        call = Call(self.count, door, time.monotonic_ns(), commands)
        told = [(command.kind, _fields(command)) for command in commands]
        self._write({"call": call.number, "at": call.sent_at, "door": door, "commands": told})
        return call

    def tell(self, call: Call, told: str, ids: Sequence[UUID] = ()) -> None:
        """Notes a clear answer, and the ids that commands were given."""
        call.be_told(told, time.monotonic_ns(), ids)
        shown = [show_id(each) for each in ids]
        self._write({"call": call.number, "at": call.told_at, "told": told, "ids": shown})

    def complain(self, **what: str) -> None:
        """Notes what must not be: `unknown` or `backwards`."""
        self._write({"at": time.monotonic_ns(), **what})

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(orjson.dumps(line) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def calls(path: Path) -> list[Call]:
    """What a journal says, call by call."""
    found: dict[int, Call] = {}
    for line in lines(path):
        if "commands" in line:
            commands = [command_from(kind, fields) for kind, fields in line["commands"]]
            found[line["call"]] = Call(line["call"], line["door"], line["at"], commands)
        elif "call" in line:
            found[line["call"]].be_told(line["told"], line["at"], [parse_id(each) for each in line["ids"]])
    return list(found.values())


def complaints(path: Path) -> list[dict[str, Any]]:
    """What its client saw that must not be."""
    return [line for line in lines(path) if "call" not in line]


def lines(path: Path) -> Iterator[dict[str, Any]]:
    return map(orjson.loads, _whole_lines(path))


def _whole_lines(path: Path) -> list[bytes]:
    """Those that end: the last one may have been cut, and then nothing was done after it."""
    if not path.exists():
        return []
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def _fields(command: AnyCommand) -> dict[str, Any]:
    return {**command.model_dump(mode="json", exclude_none=True), "id": show_id(command.id)}
