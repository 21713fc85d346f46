"""Reads the order of application once, stores it in a file, and yields it in chunks.

The file has a line of about sixty bytes for each command. It is unnamed and lies in TMPDIR.
"""

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from tempfile import TemporaryFile
from typing import IO, NamedTuple

import sqlalchemy as sa

from pointledger.storage.replay import reads

_UNKNOWN = "-"


class OrderedCommand(NamedTuple):
    """A command's place in the order. `batch` is None if the place is not known."""

    batch: str | None
    id: str


class ApplicationOrder:
    """The order in which commands were applied, tenant by tenant. `commands` is their number."""

    def __init__(self, engine: sa.Engine, batch: int, *, tenant_id: str | None, after: str) -> None:
        self._file: IO[str] = TemporaryFile("w+", encoding="ascii")  # noqa: SIM115  (`close` closes it)
        self.commands = 0
        for lines in reads.order(engine, batch, tenant_id=tenant_id, after=after):
            self.commands += len(lines)
            self._file.write("\n".join(lines) + "\n")
        self._file.seek(0)

    def close(self) -> None:
        self._file.close()

    def by_tenant(self) -> Iterator[tuple[str, Iterator[OrderedCommand]]]:
        """Yield each tenant with its commands. Consume them before the next tenant."""
        lines = (line.split() for line in self._file)
        for tenant_id, tenant_lines in groupby(lines, key=itemgetter(0)):
            yield tenant_id, map(_ordered_command, tenant_lines)


def _ordered_command(line: list[str]) -> OrderedCommand:
    _, batch, command_id = line
    return OrderedCommand(None if batch == _UNKNOWN else batch, command_id)


def in_chunks(commands: Iterator[OrderedCommand], size: int) -> Iterator[list[OrderedCommand]]:
    """Yield chunks of whole batches. A chunk ends with the batch that brings it to `size` commands."""
    chunk: list[OrderedCommand] = []
    for _, batch in groupby(commands, key=itemgetter(0)):
        chunk += batch
        if len(chunk) >= size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
