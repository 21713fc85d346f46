"""Records when a process passes each failpoint, by the clock that all processes of a machine share."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from pointledger import failpoints

FOLDER_VARIABLE = "POINTLEDGER_BENCH_STEPS"
"""Names the folder to which `recorded.py` writes."""


class Passage(NamedTuple):
    """A failpoint was passed. `point` is like `before:peek`, or another mark of the benchmark."""

    at: float
    point: str


class Passages:
    """The passages of one process."""

    def __init__(self) -> None:
        self.all: list[Passage] = []

    def mark(self, point: str) -> None:
        """Record that something happens now."""
        self.all.append(Passage(time.monotonic(), point))

    def record(self) -> None:
        """Record every failpoint from now on."""
        self._patch(pytest.MonkeyPatch())

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record every failpoint in the block."""
        with pytest.MonkeyPatch.context() as patch:
            self._patch(patch)
            yield

    def _patch(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(failpoints, "before", lambda place: self.mark(f"before:{place}"))
        patch.setattr(failpoints, "after", lambda place: self.mark(f"after:{place}"))

    def write(self, path: Path) -> None:
        """Write the passages to a file."""
        path.write_text("".join(f"{at!r} {point}\n" for at, point in self.all))

    @staticmethod
    def read(path: Path) -> list[Passage]:
        """Read what `write` has written."""
        lines = (line.split() for line in path.read_text().splitlines())
        return [Passage(float(at), point) for at, point in lines]
