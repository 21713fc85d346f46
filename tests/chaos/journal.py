"""A client's journal: what it has sent and which answer it got, on the disk before the client goes on.

The checker compares the ledger with it. The ledger never sees it.

A line is a JSON object. `at` is the machine's monotonic clock in nanoseconds, which all processes share.

    {"call": 7, "at": ..., "entry_point": "library", "commands": [["earn", {...}], ...]}   before the call
    {"call": 7, "at": ..., "answer": "accepted", "ids": [...]}   afterwards: also "refused"
    {"at": ..., "unknown": "01M7..."}                            an accepted task id that is not known
    {"at": ..., "backwards": "user-7"}                           an account that is older than it was

A call without an answer is ambiguous. The client repeats it, with the same commands and ids, until the answer
is certain. The time from the first sending to the last answer is one interval. An entry point may give
commands other ids.
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
    """Commands that were sent together to an entry point. `answer` is None while it is ambiguous."""

    number: int
    entry_point: str
    sent_at: int
    commands: list[AnyCommand]
    answer: str | None = None
    answered_at: int = 0

    def set_answer(self, answer: str, at: int, ids: Sequence[UUID]) -> None:
        """Set a certain answer. `ids`, if any, are the new ids of the commands."""
        self.answer, self.answered_at = answer, at
        if ids:
            named = zip(self.commands, ids, strict=True)
            self.commands = [command.model_copy(update={"id": its_id}) for command, its_id in named]


class Journal:
    """Writes a client's journal. When a method returns, its line is on the disk."""

    def __init__(self, path: Path) -> None:
        made = calls(path)
        self.count = len(made)
        self.ambiguous = [call for call in made if call.answer is None]  # the client must repeat them
        if path.exists():
            path.write_bytes(b"".join(_whole_lines(path)))  # a SIGKILL may have cut the last one
        self._file = path.open("ab")

    def close(self) -> None:
        self._file.close()

    def send(self, commands: list[AnyCommand], entry_point: str) -> Call:
        """Write a call before it is made."""
        self.count += 1
        call = Call(self.count, entry_point, time.monotonic_ns(), commands)
        answer = [(command.kind, _fields(command)) for command in commands]
        self._write({"call": call.number, "at": call.sent_at, "entry_point": entry_point, "commands": answer})
        return call

    def answered(self, call: Call, answer: str, ids: Sequence[UUID] = ()) -> None:
        """Write a certain answer, and the ids that the commands were given."""
        call.set_answer(answer, time.monotonic_ns(), ids)
        shown = [show_id(each) for each in ids]
        self._write({"call": call.number, "at": call.answered_at, "answer": answer, "ids": shown})

    def note_violation(self, **what: str) -> None:
        """Write a violation that this client saw: `unknown` or `backwards`."""
        self._write({"at": time.monotonic_ns(), **what})

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(orjson.dumps(line) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def calls(path: Path) -> list[Call]:
    """Return the calls of a journal."""
    found: dict[int, Call] = {}
    for line in lines(path):
        if "commands" in line:
            commands = [command_from(kind, fields) for kind, fields in line["commands"]]
            found[line["call"]] = Call(line["call"], line["entry_point"], line["at"], commands)
        elif "call" in line:
            found[line["call"]].set_answer(
                line["answer"], line["at"], [parse_id(each) for each in line["ids"]]
            )
    return list(found.values())


def violations(path: Path) -> list[dict[str, Any]]:
    """Return the violations that its client saw."""
    return [line for line in lines(path) if "call" not in line]


def lines(path: Path) -> Iterator[dict[str, Any]]:
    return map(orjson.loads, _whole_lines(path))


def _whole_lines(path: Path) -> list[bytes]:
    """Return the complete lines. If the last one is cut, its client did nothing afterwards."""
    if not path.exists():
        return []
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def _fields(command: AnyCommand) -> dict[str, Any]:
    return {**command.model_dump(mode="json", exclude_none=True), "id": show_id(command.id)}
