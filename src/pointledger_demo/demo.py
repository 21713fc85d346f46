"""Runs the whole system on this machine, and a quarter of a year of real baskets."""

import signal
import sys
import threading
from pathlib import Path

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


def run(*, leave: bool, as_json: bool, fresh: bool) -> None:
    """Run everything in the current folder. The options are those of `pointledger demo`."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _interrupted(stop))
    processes = ProcessGroup(Path.cwd(), api_for=None if leave else TENANT)
    if fresh:
        processes.delete_data()
    try:
        with console.status("starting Postgres, Valkey, two workers and beat"):
            settings = processes.start()
            processes.wait_for_api()  # its start takes time from the replay, whose rate the summary has
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
    console.print(f"\nEverything is running. The console: {processes.api_url}/console", soft_wrap=True)
    console.print("One click there logs in, as support, marketing, finance, operator or admin.")
    console.print("In another terminal, in this folder, run:")
    program = _shortest(Path(sys.executable).with_name("pointledger"))
    console.print(f"  {program} account grocer household-900", soft_wrap=True)
    console.print(f"  {program} entries grocer household-900", soft_wrap=True)
    console.print("or over HTTP, as an administrator:")
    for line in curl_lines(processes.api_url, _shortest(processes.token_file)):
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


def _shortest(path: Path) -> str:
    """Return the path from the current folder if it is in there. In a checkout that is all of them."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
