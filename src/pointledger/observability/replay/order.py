"""Reads the order of application once, stores it in a file, and yields it in chunks.

The file is a line of some sixty bytes for each command. It has no name, and is where TMPDIR says.
"""

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from tempfile import TemporaryFile
from typing import IO, NamedTuple

import sqlalchemy as sa

from pointledger.storage.replay import reads

_UNKNOWN = "-"


class Step(NamedTuple):
    """A command's place in the order. `batch` is None if the place is not known."""

    batch: str | None
    id: str


class Order:
    """All commands in order, tenant by tenant. `commands` is their number."""

    def __init__(self, engine: sa.Engine, batch: int, *, tenant_id: str | None, after: str) -> None:
        self._file: IO[str] = TemporaryFile("w+", encoding="ascii")  # noqa: SIM115  (`close` closes it)
        self.commands = 0
        for lines in reads.order(engine, batch, tenant_id=tenant_id, after=after):
            self.commands += len(lines)
            self._file.write("\n".join(lines) + "\n")
        self._file.seek(0)

    def close(self) -> None:
        self._file.close()

    def by_tenant(self) -> Iterator[tuple[str, Iterator[Step]]]:
        """Yield each tenant with its commands. Consume them before the next tenant."""
        lines = (line.split() for line in self._file)
        for tenant_id, theirs in groupby(lines, key=itemgetter(0)):
            yield tenant_id, (Step(None if line[1] == _UNKNOWN else line[1], line[2]) for line in theirs)


def in_pieces(steps: Iterator[Step], most: int) -> Iterator[list[Step]]:
    """Yield whole batches of about `most` commands in all."""
    piece: list[Step] = []
    for _, batch in groupby(steps, key=itemgetter(0)):
        piece += batch
        if len(piece) >= most:
            yield piece
            piece = []
    if piece:
        yield piece
