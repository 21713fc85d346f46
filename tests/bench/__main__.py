"""`./dev bench`: measures the ledger beside other ways to do the same, in one run."""

import argparse
import json
import signal
import sys
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.bench import backlog, expiry, growth, http, latency, neighbours, restart, throughput, transfer
from tests.bench.harness import Benchmark, Choice, DifferentWork, Report
from tests.bench.plots import draw
from tests.bench.stage import BenchmarkStuck, Stage, open_stage

_INTERRUPTED_STATUS = 130  # as a shell says it
_REDRAWS_PER_SECOND = 2  # the machine has other things to do


class Known(NamedTuple):
    """A benchmark that there is. After so many minutes it is stuck: three times what it takes."""

    run: Benchmark
    minutes: int
    summary: str


BENCHMARKS: dict[str, Known] = {
    throughput.NAME: Known(throughput.run, 45, "apply-rule, accepted to applied, beside three other ways"),
    transfer.NAME: Known(transfer.run, 30, "points from user to user, beside pgledger and the conventional"),
    latency.NAME: Known(latency.run, 30, "from one command to its outcome, beside a Celery no-op task"),
    expiry.NAME: Known(expiry.run, 45, "a nightly sweep, while commands arrive"),
    growth.NAME: Known(growth.run, 90, "the same load on ever larger ledgers"),
    backlog.NAME: Known(backlog.run, 45, "what was accepted without workers, applied by 1, 2 and 4"),
    restart.NAME: Known(restart.run, 15, "a rolling restart of the workers, while commands arrive"),
    http.NAME: Known(http.run, 45, "apply-rule through the gateway, from request to outcome"),
    neighbours.NAME: Known(neighbours.run, 30, "a tenant's single commands beside another tenant's load"),
}


def main(arguments: list[str]) -> int:
    """The exit status: 1 when a side did not do its work."""
    asked = _parser().parse_args(arguments)
    if asked.list:
        for name, known in BENCHMARKS.items():
            print(f"{name:12} {known.summary}; stopped after {known.minutes} minutes")
        return 0
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGALRM, _time_is_up)
    choice = Choice(quick=asked.quick, rounds=asked.rounds, pgledger=asked.pgledger)
    failed = False
    try:
        with _progress() as progress, open_stage(partial(_tell, progress)) as stage:
            for name in asked.names or BENCHMARKS:
                for report in _reports(name, stage, choice):
                    progress.stop()  # or it would be drawn across the table
                    _show(report, as_json=asked.json)
                    progress.start()
                    failed |= not report.verified
            if asked.plot:
                draw(stage.traces, asked.plot)
    except BenchmarkStuck as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED_STATUS
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which; all if none: {', '.join(BENCHMARKS)}", type=_known
    )
    parser.add_argument("--quick", action="store_true", help="a fraction of the work: to see that it works")
    parser.add_argument("--rounds", type=_positive, metavar="N", help="instead of a benchmark's own number")
    parser.add_argument("--json", action="store_true", help="one JSON object per report, a line each")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="throughput over time, latencies")
    parser.add_argument("--pgledger", type=_folder, metavar="FOLDER", help="its checkout: a side more")
    parser.add_argument("--list", action="store_true", help="what there is")
    return parser


def _known(name: str) -> str:
    if name not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"no benchmark {name!r}; there is {', '.join(BENCHMARKS)}")
    return name


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError("a number from 1")
    return int(text)


def _folder(text: str) -> Path:
    folder = Path(text)
    if not (folder / "pgledger.sql").is_file():
        raise argparse.ArgumentTypeError(f"{text} has no pgledger.sql; see tests/bench/README.md")
    return folder


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM ends a run as Ctrl-C does: everything that was started is stopped."""
    raise KeyboardInterrupt


def _time_is_up(_number: int, _frame: FrameType | None) -> None:
    raise BenchmarkStuck("not done within its time: see ./dev bench --list")


def _reports(name: str, stage: Stage, choice: Choice) -> list[Report]:
    """What the benchmark finds, in its time; if the work was not the same, nothing but that."""
    known = BENCHMARKS[name]
    signal.alarm(60 * known.minutes)
    try:
        return list(known.run(stage, choice))
    except DifferentWork as error:
        return [Report(name, "", 0, {}, {}, str(error))]
    finally:
        signal.alarm(0)


def _progress() -> Progress:
    """A progress bar on a terminal; nothing elsewhere."""
    console = Console(stderr=True)
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        refresh_per_second=_REDRAWS_PER_SECOND,
    )
    progress.add_task("starting the servers", total=None)
    return progress


def _tell(progress: Progress, text: str, done: int, total: int) -> None:
    progress.update(progress.task_ids[0], description=text, completed=done, total=total)


def _show(report: Report, *, as_json: bool) -> None:
    if report.failure:
        print(f"bench: {report.name}: {report.failure}", file=sys.stderr)
    if as_json:
        print(json.dumps(report.as_json()), flush=True)
        return
    if not report.verified:
        return
    rounds = "1 round" if report.rounds == 1 else f"{report.rounds} rounds"
    table = Table(title=f"{report.name}: {report.unit}, {rounds}")
    for heading in ("", "median", "min", "max", "ours to it"):
        table.add_column(heading, justify="left" if heading == "" else "right")
    for label, side in report.sides.items():
        ratio = f"{report.ratios[label]:.2f}" if label in report.ratios else ""
        table.add_row(label, *(f"{figure:,.1f}" for figure in (side.median, side.min, side.max)), ratio)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
