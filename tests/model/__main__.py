"""`./dev model`: runs random programs and histories through the ledger and compares it with the model."""

import argparse
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.model.coverage import Coverage
from tests.model.environment import open_environment
from tests.model.groups import Compared, compare_all, groups
from tests.model.report import as_json, show

_INTERRUPTED_STATUS = 130  # the convention of shells


def main(arguments: list[str]) -> int:
    """Return the exit status: 1 if anything differs, or if a kind or a reason was never reached.

    An interrupted run reports what it has done.
    """
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    began, run, is_whole = time.monotonic(), Compared(0, Coverage()), True
    try:
        _run(run, seed, options.worlds, options.commands)
    except KeyboardInterrupt:
        is_whole = False
    for text in run.texts:
        print(text, file=sys.stderr)
    report = as_json(seed, run.worlds, run.coverage, run.differences, time.monotonic() - began)
    if options.json:
        print(json.dumps(report))
    else:
        show(report, Console())
    if not is_whole:
        return _INTERRUPTED_STATUS
    return 1 if run.differences or report["never_reached"] else 0


def _run(whole: Compared, seed: int, worlds: int, commands: int) -> None:
    """Compare groups until one differs, and add each to the whole."""
    with open_environment() as environment, _progress(worlds) as advance:
        parts = groups(seed, worlds, commands)
        with closing(compare_all(environment, parts, os.cpu_count() or 1)) as compared:
            for each in compared:
                whole.worlds += each.worlds
                whole.coverage.update(each.coverage)
                whole.differences += each.differences
                whole.texts += each.texts
                advance(each.worlds)
                if each.differences:
                    break


@contextmanager
def _progress(worlds: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes the number of finished worlds; only a terminal shows the progress."""
    console = Console(stderr=True)
    columns = (TextColumn("worlds"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("worlds", total=worlds)
        yield lambda done: progress.advance(task, done)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev model", description=__doc__, allow_abbrev=False)
    parser.add_argument("--seed", type=int, help="of the programs and histories; random by default")
    parser.add_argument("--worlds", type=int, default=400, help="tenants, each with a history; default 400")
    parser.add_argument("--commands", type=int, default=100, help="in each world; default 100")
    parser.add_argument("--json", action="store_true", help="print the report as a JSON object")
    return parser


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Handle SIGTERM like Ctrl-C, so the servers stop."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
