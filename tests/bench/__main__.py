"""`./dev bench`: measures the ledger beside other ways to do the same, in one run."""

import argparse
import json
import signal
import sys
from functools import partial
from types import FrameType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.bench import throughput
from tests.bench.harness import Report
from tests.bench.stage import BenchmarkStuck, Stage, open_stage

_INTERRUPTED_STATUS = 130  # as a shell says it
_REDRAWS_PER_SECOND = 2  # the machine has other things to do


class Benchmark(Protocol):
    """One benchmark; issues add theirs to the table below."""

    def __call__(self, stage: Stage, *, quick: bool) -> Report: ...


BENCHMARKS: dict[str, tuple[Benchmark, str]] = {
    throughput.NAME: (throughput.run, "apply-rule, accepted to applied, beside the conventional design"),
}


def main(arguments: list[str]) -> int:
    """The exit status: 1 when a side did not do its work."""
    asked = _parser().parse_args(arguments)
    if asked.list:
        for name, (_, summary) in BENCHMARKS.items():
            print(f"{name:12} {summary}")
        return 0
    signal.signal(signal.SIGTERM, _interrupt)
    failed = False
    try:
        with _progress() as progress, open_stage(partial(_tell, progress)) as stage:
            for name in asked.names or BENCHMARKS:
                report = BENCHMARKS[name][0](stage, quick=asked.quick)
                progress.stop()  # or it would be drawn across the table
                _show(report, as_json=asked.json)
                progress.start()
                failed |= not report.verified
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
    parser.add_argument("--json", action="store_true", help="one JSON object per benchmark, a line each")
    parser.add_argument("--list", action="store_true", help="what there is")
    return parser


def _known(name: str) -> str:
    if name not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"no benchmark {name!r}; there is {', '.join(BENCHMARKS)}")
    return name


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM ends a run as Ctrl-C does: everything that was started is stopped."""
    raise KeyboardInterrupt


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
    ours, *_ = report.sides
    rounds = "1 round" if report.rounds == 1 else f"{report.rounds} rounds"
    table = Table(title=f"{report.name}: {report.unit}, {rounds}")
    for heading in ("", "median", "min", "max", f"{ours} is faster by"):
        table.add_column(heading, justify="left" if heading == "" else "right")
    for label, side in report.sides.items():
        ratio = f"{report.ratios[label]:.1f} x" if label in report.ratios else ""
        table.add_row(label, f"{side.median:,.0f}", f"{side.min:,.0f}", f"{side.max:,.0f}", ratio)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
