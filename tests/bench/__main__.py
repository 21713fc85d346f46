"""Runs `./dev bench`: measures the ledger beside other designs, in one run on one machine."""

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

from tests.bench import (
    backlog,
    console,
    expiry,
    growth,
    http,
    latency,
    neighbours,
    restart,
    singles,
    steps,
    throughput,
    transfer,
)
from tests.bench.environment import BenchmarkEnvironment, BenchmarkStuck, open_environment
from tests.bench.goals import RunInvalid, table
from tests.bench.harness import Benchmark, BenchmarkOptions, BenchmarkReport, DifferentWork
from tests.bench.plots import draw

_USAGE_STATUS = 2  # as argparse exits
_INTERRUPTED_STATUS = 130  # the status of shells after Ctrl-C
_REDRAWS_PER_SECOND = 2  # few, because drawing takes time from the benchmark
_WORKERS = 2  # of every side: one per core of the machine on which the published figures were measured
_QUICK_WORKERS = 1  # each takes a second of CPU to start; `backlog` and `restart` run more of them, too


class BenchmarkEntry(NamedTuple):
    """A benchmark of the command. `minutes` is its time limit, three times what it takes."""

    run: Benchmark
    minutes: int
    summary: str


BENCHMARKS: dict[str, BenchmarkEntry] = {
    throughput.NAME: BenchmarkEntry(
        throughput.run, 45, "apply-rule, accepted to applied, beside three other designs"
    ),
    transfer.NAME: BenchmarkEntry(
        transfer.run, 30, "points between users, beside pgledger and the conventional"
    ),
    singles.NAME: BenchmarkEntry(
        singles.run, 90, "commands that come one by one: by threads, by rate, and their CPU"
    ),
    steps.NAME: BenchmarkEntry(steps.run, 10, "where the time of a single command goes, step by step"),
    latency.NAME: BenchmarkEntry(
        latency.run, 30, "from one command to its outcome, beside a Celery no-op task"
    ),
    expiry.NAME: BenchmarkEntry(expiry.run, 45, "the nightly expiry job, while commands arrive"),
    growth.NAME: BenchmarkEntry(growth.run, 90, "the same load on larger and larger ledgers"),
    backlog.NAME: BenchmarkEntry(backlog.run, 45, "commands accepted without workers, applied by 1, 2 and 4"),
    restart.NAME: BenchmarkEntry(restart.run, 15, "a rolling restart of the workers, while commands arrive"),
    http.NAME: BenchmarkEntry(http.run, 45, "apply-rule over HTTP, from request to outcome"),
    console.NAME: BenchmarkEntry(
        console.run, 90, "the console's pages with ten million entries, and what they cost live commands"
    ),
    neighbours.NAME: BenchmarkEntry(
        neighbours.run, 30, "a tenant's single commands beside another tenant's load"
    ),
}


def main(arguments: list[str]) -> int:
    """Run the benchmarks. The exit status is 1 if a side did not do its work."""
    parsed = _parser().parse_args(arguments)
    if parsed.list:
        for name, entry in BENCHMARKS.items():
            print(f"{name:12} {entry.summary}; stopped after {entry.minutes} minutes")
        return 0
    if parsed.table:
        return _print_table(parsed.table)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGALRM, _time_is_up)
    options = BenchmarkOptions(quick=parsed.quick, rounds=parsed.rounds, pgledger=parsed.pgledger)
    failed = False
    try:
        with (
            _progress() as progress,
            open_environment(
                partial(_show_progress, progress),
                _QUICK_WORKERS if parsed.quick else _WORKERS,
                is_new=parsed.quick,
            ) as environment,
        ):
            for name in parsed.names or BENCHMARKS:
                for report in _reports(name, environment, options):
                    progress.stop()  # so the bar is not drawn across the table
                    _show(report, as_json=parsed.json)
                    progress.start()
                    failed |= not report.verified
                if (curves := environment.take_curves()) and parsed.plot:
                    draw(curves, parsed.plot / f"bench-{name}.svg")
    except BenchmarkStuck as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED_STATUS
    return 1 if failed else 0


def _print_table(files: list[Path]) -> int:
    try:
        print(table(files))
    except RunInvalid as error:
        print(f"bench: {error}", file=sys.stderr)
        return _USAGE_STATUS
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"benchmarks to run: {', '.join(BENCHMARKS)}; default: all",
        type=_benchmark_name,
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="do a fraction of the work with one worker on each side, to check that it runs",
    )
    parser.add_argument(
        "--rounds", type=_positive, metavar="N", help="rounds instead of a benchmark's own number"
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON per report")
    parser.add_argument(
        "--plot",
        type=_existing_folder,
        metavar="FOLDER",
        help="draw the curves of each benchmark into the folder, as bench-NAME.svg",
    )
    parser.add_argument(
        "--pgledger", type=_folder, metavar="FOLDER", help="also measure pgledger from this checkout"
    )
    parser.add_argument(
        "--table",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="run nothing: print the goals for single commands beside the results in these files, with the "
        "output of ./dev bench --json and of ./dev run --json",
    )
    parser.add_argument("--list", action="store_true", help="list the benchmarks")
    return parser


def _benchmark_name(name: str) -> str:
    if name not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"unknown benchmark {name!r}; choose from {', '.join(BENCHMARKS)}")
    return name


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError("must be a whole number of 1 or more")
    return int(text)


def _folder(text: str) -> Path:
    folder = Path(text)
    if not (folder / "pgledger.sql").is_file():
        raise argparse.ArgumentTypeError(f"{text} has no pgledger.sql; see tests/bench/README.md")
    return folder


def _existing_folder(text: str) -> Path:
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a folder; make it first")
    return Path(text)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Treat SIGTERM like Ctrl-C, so every started process is stopped."""
    raise KeyboardInterrupt


def _time_is_up(_number: int, _frame: FrameType | None) -> None:
    raise BenchmarkStuck("not done within its time limit; see ./dev bench --list")


def _reports(
    name: str, environment: BenchmarkEnvironment, options: BenchmarkOptions
) -> list[BenchmarkReport]:
    """Run a benchmark within its time limit. If a side did different work, report only that."""
    benchmark = BENCHMARKS[name]
    signal.alarm(60 * benchmark.minutes)
    try:
        return list(benchmark.run(environment, options))
    except DifferentWork as error:
        return [BenchmarkReport(name, "", 0, {}, {}, str(error))]
    finally:
        signal.alarm(0)


def _progress() -> Progress:
    """Return a progress bar, which is shown only on a terminal."""
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


def _show_progress(progress: Progress, text: str, done: int, total: int) -> None:
    progress.update(progress.task_ids[0], description=text, completed=done, total=total)


def _show(report: BenchmarkReport, *, as_json: bool) -> None:
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
