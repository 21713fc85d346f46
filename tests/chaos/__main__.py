"""`./dev chaos`: injects faults on a schedule that the seed decides, while clients send commands. Then it
compares the clients' journals with the ledger.
"""

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pointledger.embedded.paths import reachable_home
from pointledger.embedded.processes import server_user
from tests.chaos.faults import FAULTS
from tests.chaos.matrix import INJECTED, NEEDS_A_TOOL
from tests.chaos.run import Chaos, Report
from tests.chaos.soak import Soak

_ON_DISK = Path("/var/tmp")  # /tmp may be memory, where fsync is never slow
_INTERRUPTED_STATUS = 130  # as a shell reports SIGINT
_REDRAWS_PER_SECOND = 2  # the machine has other things to do


def main(arguments: list[str]) -> int:
    """Return the exit status: 1 if anything is wrong, or if a planned fault had no effect."""
    asked = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(1_000_000)
    folder = Path(tempfile.mkdtemp(prefix="pointledger-chaos-", dir=_ON_DISK if _ON_DISK.is_dir() else None))
    is_kept = not asked.soak  # to find out what went wrong
    try:
        if asked.soak:
            return _soak(asked, seed, folder)
        chaos = Chaos(
            folder,
            seconds=asked.seconds,
            seed=seed,
            rate=asked.rate,
            begin_with=asked.begin_with,
            scrapes=asked.scrapes,
        )
        with _live(lambda: _progress(chaos)) as refresh:
            report = chaos.run(refresh)
        is_kept = not report.is_passed
    except KeyboardInterrupt:
        is_kept = False
        return _INTERRUPTED_STATUS
    finally:
        home = reachable_home(folder, server_user())
        if is_kept:
            print(f"chaos: logs, journals and Postgres' data are kept in {home}", file=sys.stderr)
        else:
            shutil.rmtree(home, ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)
    _tell_problems(report)
    if asked.json:
        print(json.dumps(report.as_json()))
    else:
        _show(report, Console())
    return 0 if report.is_passed else 1


def _tell_problems(report: Report) -> None:
    for number, tool in NEEDS_A_TOOL.items():
        if not any(fault.number == f"F{number}" for fault in FAULTS):
            print(f"chaos: left out F{number}, {INJECTED[number]}: needs {tool}", file=sys.stderr)
    for problem in report.problems:
        print(f"chaos: {problem}", file=sys.stderr)


def _soak(asked: argparse.Namespace, seed: int, folder: Path) -> int:
    """Return the exit status: 1 if anything is wrong, or has grown."""
    soak = Soak(folder, commands=asked.soak, seed=seed, rate=asked.rate)

    def progress() -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_row("soak", f"{soak.accepted:,} of {asked.soak:,} commands")
        return table

    with _live(progress) as refresh:
        report = soak.run(refresh)
    files = soak.write(asked.into)
    print(json.dumps(report) if asked.json else f"{report}\n{', '.join(map(str, files))}")
    wrong = ("lost", "doubled", "out_of_order", "invariants_broken", "grown")
    return 1 if any(report[name] for name in wrong) else 0


@contextmanager
def _live(shown: Callable[[], Table]) -> Iterator[Callable[[], None]]:
    """Yield a function that shows the progress on a terminal. Call it often."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda: None
        return
    with Live(console=console, refresh_per_second=_REDRAWS_PER_SECOND, transient=True) as live:
        yield lambda: live.update(shown())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--seconds", type=float, default=120.0, help="how long faults are injected; 120 if not given"
    )
    parser.add_argument("--seed", type=int, help="of the schedule; a random one if not given")
    parser.add_argument("--rate", type=float, default=850.0, help="commands per second; 850 if not given")
    parser.add_argument(
        "--begin-with",
        nargs="+",
        default=[],
        metavar="FAULT",
        choices=sorted({fault.number for fault in FAULTS}),
        help="faults that come first in each round, by their numbers in the matrix, such as F69",
    )
    parser.add_argument("--soak", type=int, metavar="N", help="instead: send N commands without faults")
    parser.add_argument(
        "--into",
        type=Path,
        default=Path(".data/soak"),
        help="folder for a soak's table and curves; .data/soak",
    )
    parser.add_argument(
        "--scrapes", type=Path, metavar="FILE", help="record the metrics, a line every half second"
    )
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    return parser


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """End the run at SIGTERM as at Ctrl-C: stop all processes and servers."""
    raise KeyboardInterrupt


def _progress(chaos: Chaos) -> Table:
    """Return the progress."""
    table = Table.grid(padding=(0, 2))
    table.add_row("", f"[bold]{chaos.phase}[/bold]")
    table.add_row("seed", f"{chaos.report.seed}")
    table.add_row("time", f"{chaos.elapsed:.0f} of {chaos.report.seconds:.0f} s")
    if chaos.checks:
        table.add_row("commands", f"{chaos.checks.accepted:,} accepted, {chaos.checks.waiting:,} pending")
        table.add_row("invariants", f"{chaos.checks.checked:,} checked, {chaos.checks.broken:,} broken")
    table.add_row("injected", f"{sum(chaos.injected.values()):,} times by {len(chaos.injected)} faults")
    table.add_row("now", "; ".join(chaos.running) or "-")
    return table


def _show(report: Report, console: Console) -> None:
    faults = Table(title=f"chaos: {report.seconds:.0f} s, seed {report.seed}")
    faults.add_column("fault")
    faults.add_column("effects", justify="right")
    for name, times in report.faults.items():
        faults.add_row(name, f"{times:,}" if times else "[red]0[/red]")
    console.print(faults)
    verdict = Table.grid(padding=(0, 3))
    verdict.add_column()
    verdict.add_column(justify="right")
    verdict.add_row("commands acknowledged", f"{report.commands:,}")
    verdict.add_row("events received", f"{report.events:,}")
    for name in ("lost", "doubled", "out_of_order", "wrong", "charged"):
        verdict.add_row(name.replace("_", " "), _red_unless_zero(getattr(report, name)))
    verdict.add_row("invariants checked", f"{report.invariants_checked:,}")
    verdict.add_row("invariants broken", _red_unless_zero(report.invariants_broken))
    console.print(verdict)


def _red_unless_zero(count: int) -> str:
    return f"[red]{count:,}[/red]" if count else "0"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
