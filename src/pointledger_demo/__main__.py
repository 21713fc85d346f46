"""`./dev run`: the whole system on this machine, fed with a quarter of a year of real baskets."""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from pointledger.errors import LedgerError
from pointledger_demo.asking import asking
from pointledger_demo.programme import TENANT
from pointledger_demo.run import Demonstration
from pointledger_demo.summary import show
from pointledger_demo.system import System

_LOOK_SECONDS = 1.0  # at whether the workers still run, while we serve

console = Console(stderr=True)


def main(
    *,
    leave: Annotated[bool, typer.Option("--exit", help="stop when the summary is printed")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the summary as one JSON object")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="forget what an earlier run left in .data")] = False,
) -> None:
    """Run everything: Postgres, Valkey, two workers, beat and the HTTP gateway; replay real baskets; show
    what came of them.

    Run it again and it goes on with what is there: nothing is applied twice.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _interrupted(stop))
    system = System(Path.cwd(), gateway_for=None if leave else TENANT)
    if fresh:
        system.start_over()
    try:
        with console.status("starting Postgres, Valkey, two workers and beat"):
            settings = system.start()
        summary = Demonstration(settings, console).run()
        if as_json:
            sys.stdout.write(orjson.dumps(summary, option=orjson.OPT_INDENT_2).decode() + "\n")
        else:
            show(summary, Console())
        if not leave:
            _serve(system, stop)
    except LedgerError as error:
        console.print(f"[red]{error}[/red]")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print("stopped")
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # once more would leave the servers to the kernel
        system.stop()
    raise typer.Exit(1 if summary["audit"]["violations"] or summary["dead"] else 0)


def _interrupted(stop: threading.Event) -> None:
    stop.set()
    raise KeyboardInterrupt


def _serve(system: System, stop: threading.Event) -> None:
    console.print("\nEverything runs. In another terminal, in this folder:")
    console.print("  .venv/bin/pointledger account grocer household-900")
    console.print("  .venv/bin/pointledger entries grocer household-900")
    console.print("and over HTTP, as an administrator:")
    for line in asking(system.gateway_url, os.path.relpath(system.token_file)):
        console.print(f"  {line}", soft_wrap=True, highlight=False, markup=False)
    console.print("Programs elsewhere reach it by these addresses; Celery's clients by the second one:")
    for name in ("database_url", "redis_url"):
        line = f"  export POINTLEDGER_{name.upper()}={getattr(system.settings, name)}"
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    console.print("Ctrl-C stops it; the data stays in .data.")
    try:
        while not stop.wait(_LOOK_SECONDS):
            for position in system.dead():
                console.print(f"worker {position + 1} has ended; starting another (see .data/logs)")
                system.workers[position] = system.start_worker(position + 1)
            if system.gateway and system.gateway.poll() is not None:
                console.print("the gateway has ended; starting another (see .data/logs)")
                system.start_gateway()
    except KeyboardInterrupt:
        console.print("stopping")


if __name__ == "__main__":
    typer.run(main)
