"""`./dev model`: random programs and histories through the ledger, every result compared with the model's."""

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
from tests.model.environment import open_place
from tests.model.groups import Compared, compare_all, groups
from tests.model.report import as_json, show

_INTERRUPTED_STATUS = 130  # as a shell says it


def main(arguments: list[str]) -> int:
    """The exit status: 1 on a difference, or when a kind or a reason was never reached. What is interrupted
    reports what it has done."""
    asked = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(1_000_000)
    began, run, is_whole = time.monotonic(), Compared(0, Coverage()), True
    try:
        _run(run, seed, asked.worlds, asked.commands)
    except KeyboardInterrupt:
        is_whole = False
    for text in run.told:
        print(text, file=sys.stderr)
    report = as_json(seed, run.worlds, run.coverage, run.differences, time.monotonic() - began)
    if asked.json:
        print(json.dumps(report))
    else:
        show(report, Console())
    if not is_whole:
        return _INTERRUPTED_STATUS
    return 1 if run.differences or report["never_reached"] else 0


def _run(whole: Compared, seed: int, worlds: int, commands: int) -> None:
    """Group after group, until one differs; each is added to the whole."""
    with open_place() as place, _progress(worlds) as advance:
        asked = groups(seed, worlds, commands)
        with closing(compare_all(place, asked, os.cpu_count() or 1)) as compared:
            for each in compared:
                whole.worlds += each.worlds
                whole.coverage.update(each.coverage)
                whole.differences += each.differences
                whole.told += each.told
                advance(each.worlds)
                if each.differences:
                    break


@contextmanager
def _progress(worlds: int) -> Iterator[Callable[[int], None]]:
    """What is called with how many worlds are done; it is drawn on a terminal only."""
    console = Console(stderr=True)
    columns = (TextColumn("worlds"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("worlds", total=worlds)
        yield lambda done: progress.advance(task, done)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev model", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--seed", type=int, help="of the programs and histories; another each time if not given"
    )
    parser.add_argument("--worlds", type=int, default=400, help="tenants, each with its history; 400")
    parser.add_argument("--commands", type=int, default=100, help="in each world; 100")
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")
    return parser


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM ends a run as Ctrl-C does: the servers are stopped."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
