"""The soak: so many commands, and nothing goes wrong. What must be flat is measured all the while: memory and
file descriptors of every process, and the memory of Valkey.

`soak.csv` has a line per look, `soak.png` the same as curves. Flat means: what the last third of the run
takes is no more than a tenth above what the middle third took; the first third is for warming up, and a run
of less than three minutes is all of that.
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
from tests.chaos.nemesis import wait_a_little
from tests.chaos.part import Part
from tests.chaos.stage import Stage

LOOK_SECONDS = 1.0
MOST = 1.1  # what may be taken in the end, of what was taken in the middle
ROOM = {"valkey MiB": 2.0, "MiB": 8.0, "descriptors": 8.0}  # more than that is growth; less is noise
_LEAST_LOOKS = 180
_ACCEPTED = "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'journal'"  # nobody counts a million
_IDLE_SECONDS = 120.0  # for what waits when the last command is accepted
_PAGE_BYTES = 4096


class Soak:
    """`run` does it; `accepted` tells meanwhile how far it is."""

    def __init__(self, folder: Path, *, commands: int, seed: int, rate: float) -> None:
        self._folder, self._commands, self._seed, self._rate = folder, commands, seed, rate
        self.accepted = 0
        self.looks: list[dict[str, float]] = []

    def run(self, tell: Callable[[], None]) -> dict[str, Any]:
        """The report; `grown` has what was not flat."""
        with Stage(self._folder, seed=self._seed, rate=self._rate) as stage:
            for part in stage.parts:
                stage.start(part)
            began = time.monotonic()
            while self.accepted < self._commands:
                self._look(stage, time.monotonic() - began)
                tell()
                wait_a_little(LOOK_SECONDS)
            for client in stage.clients:
                stage.let_end(client)
            give_up_at = time.monotonic() + _IDLE_SECONDS
            while (any(each.is_alive for each in stage.clients) or stage.waiting()) and (
                time.monotonic() < give_up_at
            ):
                wait_a_little(LOOK_SECONDS)
            verdict = check(stage.database, stage.journals, stage.settings.lanes)
            check_events(stage.database, stage.events, stage.settings.events_queues[0], verdict)
            broken = verify(stage.database).violations
            grown = _grown(self.looks)
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

    def _look(self, stage: Stage, at: float) -> None:
        with stage.database.connect() as connection:
            self.accepted = int(rows(connection, _ACCEPTED)[0][0])
        look: dict[str, float] = {"seconds": round(at, 1), "commands": self.accepted}
        for part in stage.parts:
            look |= {f"{part.name} {name}": value for name, value in _of_process(part).items()}
        look["valkey MiB"] = round(stage.redis.info("memory")["used_memory"] / 2**20, 2)
        self.looks.append(look)

    def write(self, folder: Path) -> list[Path]:
        """The table and the curves; the files."""
        folder.mkdir(parents=True, exist_ok=True)
        table = folder / "soak.csv"
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns())
            writer.writeheader()
            writer.writerows(self.looks)
        return [table, _plot(self.looks, self._columns()[2:], folder / "soak.png")]

    def _columns(self) -> list[str]:
        """All that was ever seen: not everybody is there at each look."""
        return list(dict.fromkeys(name for look in self.looks for name in look))


def _of_process(part: Part) -> dict[str, float]:
    """Resident memory and open files; nothing of who is not there."""
    try:
        pages = int(Path(f"/proc/{part.pid}/statm").read_text().split()[1])
        files = len(list(Path(f"/proc/{part.pid}/fd").iterdir()))
    except OSError:
        return {}
    return {"MiB": round(pages * _PAGE_BYTES / 2**20, 1), "descriptors": files}


def _grown(looks: list[dict[str, float]]) -> dict[str, tuple[float, float]]:
    """What took more in the last third than in the middle: both medians."""
    if len(looks) < _LEAST_LOOKS:
        return {}
    third = len(looks) // 3
    grown = {}
    for name in looks[-1].keys() - {"seconds", "commands"}:
        middle, end = (
            median([look[name] for look in part if name in look] or [0.0])
            for part in (looks[third : 2 * third], looks[2 * third :])
        )
        if end > middle * MOST and end - middle > ROOM[_unit_of(name)]:
            grown[name] = (middle, end)
    return grown


def _plot(looks: list[dict[str, float]], columns: list[str], path: Path) -> Path:
    from matplotlib.figure import Figure  # noqa: PLC0415  half a second, and only a soak needs it

    drawn = Figure(figsize=(9, 9), layout="constrained")
    for panel, unit in zip(drawn.subplots(3, 1, sharex=True), ROOM, strict=True):
        panel.set_ylabel(unit)
        for name in columns:
            if _unit_of(name) == unit:
                numbers = [look.get(name) for look in looks]
                panel.plot(
                    [look["commands"] for look in looks], numbers, label=name.removesuffix(unit) or "valkey"
                )
        panel.set_ylim(bottom=0)
        panel.set_xlabel("commands accepted")
        panel.legend(loc="lower right", fontsize="small")
    drawn.savefig(path, dpi=120)
    return path


def _unit_of(name: str) -> str:
    return next(unit for unit in ROOM if name.endswith(unit))
