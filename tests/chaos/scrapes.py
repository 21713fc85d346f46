"""Records what an exporter answers during a run, as Prometheus would see it."""

import json
import threading
import time
from pathlib import Path

from pointledger.observability.metrics import Exporter
from tests.chaos.environment import Environment

EVERY_SECONDS = 0.5
"""How often. A fault of a second must be seen twice."""


class Scrapes:
    """Scrapes in a thread until the block ends. `file` gets a line per scrape: an object with the value of
    each series. Without a file, nothing is scraped.

    A line is empty for a scrape that was due while the exporter waited for a server.
    """

    def __init__(self, environment: Environment, file: Path | None) -> None:
        self._exporter = Exporter(environment.database, environment.redis, environment.settings)
        self._file = file
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Scrapes":
        if self._file:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._file:
            self._thread.join()

    def _run(self) -> None:
        assert self._file
        began, due = time.monotonic(), 0
        with self._file.open("w") as lines:
            while not self._end.wait(max(0.0, began + due * EVERY_SECONDS - time.monotonic())):
                scraped = {
                    _series(sample.name, sample.labels): sample.value
                    for metric in self._exporter.collect()
                    for sample in metric.samples
                }
                now = int((time.monotonic() - began) / EVERY_SECONDS)
                lines.write("{}\n" * (now - due) + json.dumps(scraped) + "\n")
                due = max(now, due) + 1


def _series(name: str, labels: dict[str, str]) -> str:
    shown = ",".join(f"{label}={json.dumps(value)}" for label, value in labels.items())
    return f"{name}{{{shown}}}" if shown else name
