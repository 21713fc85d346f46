"""The soak: many commands without faults. It measures memory and file descriptors of every process, and the
memory of Valkey.

`soak.csv` has a line per sample, `soak.png` the same as curves. They must be flat: the last third of the run
takes at most a tenth more than the middle third. The first third is for warming up, and a run of less than
three minutes is all of that.
"""

import csv
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from pointledger.observability.verify import verify
from pointledger.storage.database import rows
from tests.chaos.checker import check, check_events
from tests.chaos.environment import Environment
from tests.chaos.nemesis import pause
from tests.chaos.node import Node

SAMPLE_SECONDS = 1.0
MOST = 1.1  # of what the middle third took
ROOM = {"valkey MiB": 2.0, "MiB": 8.0, "descriptors": 8.0}  # less growth is noise
_LEAST_SAMPLES = 180
_ACCEPTED = "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'journal'"  # fast
_IDLE_SECONDS = 120.0  # until pending commands are applied after the last acceptance
_PAGE_BYTES = 4096


class Soak:
    """One soak. `accepted` is its progress while `run` is running."""

    def __init__(self, folder: Path, *, commands: int, seed: int, rate: float) -> None:
        self._folder, self._commands, self._seed, self._rate = folder, commands, seed, rate
        self.accepted = 0
        self.samples: list[dict[str, float]] = []

    def run(self, refresh: Callable[[], None]) -> dict[str, Any]:
        """Run, and return the report. `grown` has what was not flat."""
        with Environment(self._folder, seed=self._seed, rate=self._rate) as environment:
            for node in environment.nodes:
                environment.start(node)
            began = time.monotonic()
            while self.accepted < self._commands:
                self._query(environment, time.monotonic() - began)
                refresh()
                pause(SAMPLE_SECONDS)
            for client in environment.clients:
                environment.finish(client)
            give_up_at = time.monotonic() + _IDLE_SECONDS
            while (any(each.is_alive for each in environment.clients) or environment.waiting()) and (
                time.monotonic() < give_up_at
            ):
                pause(SAMPLE_SECONDS)
            verdict = check(environment.database, environment.journals, environment.settings.lanes)
            check_events(
                environment.database, environment.events, environment.settings.events_queues[0], verdict
            )
            broken = verify(environment.database).violations
            grown = _grown(self.samples)
        return {
            "seed": self._seed,
            "seconds": round(time.monotonic() - began, 1),
            "commands": verdict.commands,
            "events": verdict.events,
            "lost": verdict.lost,
            "doubled": verdict.doubled,
            "out_of_order": verdict.out_of_order,
            "invariants_broken": broken,
            "grown": grown,
        }

    def _query(self, environment: Environment, at: float) -> None:
        with environment.database.connect() as connection:
            self.accepted = int(rows(connection, _ACCEPTED)[0][0])
        sample: dict[str, float] = {"seconds": round(at, 1), "commands": self.accepted}
        for node in environment.nodes:
            sample |= {f"{node.name} {name}": value for name, value in _of_process(node).items()}
        sample["valkey MiB"] = round(environment.redis.info("memory")["used_memory"] / 2**20, 2)
        self.samples.append(sample)

    def write(self, folder: Path) -> list[Path]:
        """Write the table and the curves, and return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        table = folder / "soak.csv"
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns())
            writer.writeheader()
            writer.writerows(self.samples)
        return [table, _plot(self.samples, self._columns()[2:], folder / "soak.png")]

    def _columns(self) -> list[str]:
        """Return the columns of all samples: a process may be missing in some."""
        return list(dict.fromkeys(name for sample in self.samples for name in sample))


def _of_process(node: Node) -> dict[str, float]:
    """Return its resident memory and open files, or nothing if it is dead."""
    try:
        pages = int(Path(f"/proc/{node.pid}/statm").read_text().split()[1])
        files = len(list(Path(f"/proc/{node.pid}/fd").iterdir()))
    except OSError:
        return {}
    return {"MiB": round(pages * _PAGE_BYTES / 2**20, 1), "descriptors": files}


def _grown(samples: list[dict[str, float]]) -> dict[str, tuple[float, float]]:
    """Return what took more in the last third than in the middle, with both medians."""
    if len(samples) < _LEAST_SAMPLES:
        return {}
    third = len(samples) // 3
    grown = {}
    for name in samples[-1].keys() - {"seconds", "commands"}:
        middle, end = (
            median([sample[name] for sample in part if name in sample] or [0.0])
            for part in (samples[third : 2 * third], samples[2 * third :])
        )
        if end > middle * MOST and end - middle > ROOM[_unit_of(name)]:
            grown[name] = (middle, end)
    return grown


def _plot(samples: list[dict[str, float]], columns: list[str], path: Path) -> Path:
    from matplotlib.figure import Figure  # noqa: PLC0415  half a second, and only a soak needs it

    drawn = Figure(figsize=(9, 9), layout="constrained")
    for panel, unit in zip(drawn.subplots(3, 1, sharex=True), ROOM, strict=True):
        panel.set_ylabel(unit)
        for name in columns:
            if _unit_of(name) == unit:
                numbers = [sample.get(name) for sample in samples]
                panel.plot(
                    [sample["commands"] for sample in samples],
                    numbers,
                    label=name.removesuffix(unit) or "valkey",
                )
        panel.set_ylim(bottom=0)
        panel.set_xlabel("commands accepted")
        panel.legend(loc="lower right", fontsize="small")
    drawn.savefig(path, dpi=120)
    return path


def _unit_of(name: str) -> str:
    return next(unit for unit in ROOM if name.endswith(unit))
