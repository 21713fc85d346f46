"""Runs `./dev run`: the whole system on this machine, and a quarter of a year of real baskets."""

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
from pointledger_demo.curl_lines import curl_lines
from pointledger_demo.processes import ProcessGroup
from pointledger_demo.program import TENANT
from pointledger_demo.run import Demonstration
from pointledger_demo.summary import show

_CHECK_SECONDS = 1.0  # between checks that the processes still run

console = Console(stderr=True)


def main(
    *,
    leave: Annotated[bool, typer.Option("--exit", help="stop after printing the summary")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the summary as one JSON object")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="delete the data of earlier runs in .data")] = False,
) -> None:
    """Run Postgres, Valkey, two workers, beat and the HTTP API; replay real baskets and show the result.

    Run it again to continue with the same data: nothing is applied twice.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _interrupted(stop))
    processes = ProcessGroup(Path.cwd(), api_for=None if leave else TENANT)
    if fresh:
        processes.delete_data()
    try:
        with console.status("starting Postgres, Valkey, two workers and beat"):
            settings = processes.start()
        summary = Demonstration(settings, console).run()
        if as_json:
            sys.stdout.write(orjson.dumps(summary, option=orjson.OPT_INDENT_2).decode() + "\n")
        else:
            show(summary, Console())
        if not leave:
            _serve(processes, stop)
    except LedgerError as error:
        console.print(f"[red]{error}[/red]")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print("stopped")
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not interrupt an orderly stop
        processes.stop()
    raise typer.Exit(1 if summary["verify"]["violations"] or summary["dead"] else 0)


def _interrupted(stop: threading.Event) -> None:
    stop.set()
    raise KeyboardInterrupt


def _serve(processes: ProcessGroup, stop: threading.Event) -> None:
    console.print("\nEverything is running. In another terminal, in this folder, run:")
    console.print("  .venv/bin/pointledger account grocer household-900")
    console.print("  .venv/bin/pointledger entries grocer household-900")
    console.print("or over HTTP, as an administrator:")
    for line in curl_lines(processes.api_url, os.path.relpath(processes.token_file)):
        console.print(f"  {line}", soft_wrap=True, highlight=False, markup=False)
    console.print(f"Prometheus finds the metrics at {processes.metrics_url}", soft_wrap=True)
    console.print("Other programs connect with these URLs. Celery clients need only the second.")
    console.print("Your own migrations connect as the owner of the tables, with the third:")
    for name in ("database_url", "redis_url", "owner_url"):
        line = f"  export POINTLEDGER_{name.upper()}={getattr(processes.settings, name)}"
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    console.print("Ctrl-C stops it; the data stays in .data.")
    try:
        while not stop.wait(_CHECK_SECONDS):
            for position in processes.dead():
                console.print(f"worker {position + 1} ended; starting another (see .data/logs)")
                processes.workers[position] = processes.start_worker(position + 1)
            if processes.api and processes.api.poll() is not None:
                console.print("the API ended; starting another (see .data/logs)")
                processes.start_api()
    except KeyboardInterrupt:
        console.print("stopping")


if __name__ == "__main__":
    typer.run(main)
