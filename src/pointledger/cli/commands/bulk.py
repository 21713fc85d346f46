"""Command that enqueues a file of commands: `replay`. It shows a progress bar on a terminal."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import typer
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from pointledger.cli.arguments import LinesFile, WaitForAll
from pointledger.cli.commands.replay import BadLine, Progress, ReplayReport
from pointledger.cli.commands.replay import replay as replay_lines
from pointledger.cli.input import Lines, opened_lines
from pointledger.cli.output import (
    BAD_INPUT,
    DONE,
    FAILED,
    PENDING,
    Json,
    note,
    print_fields,
    print_json,
    stderr,
)
from pointledger.cli.session import opened_client, opened_settings

_BAD_LINES_SHOWN = 1000  # a file of another kind must not flood the terminal


def replay(
    file: LinesFile,
    wait: WaitForAll = False,
    json: Json = False,
) -> None:
    """Enqueue a file of commands in order, one JSON object per line.

    A line: {"kind": "apply-rule", "tenant_id": "shop", "user_id": "anna", "event_type": "basket.paid",
    "event_id": "b-17", "occurred_at": "2017-01-01T11:53:26Z", "metadata": {"amount_minor": 1250}}

    An invalid line is reported with its number, and does not affect the others. Replaying a file again
    applies nothing twice. A line is identified by its id, idempotency_key or event_id. Without any of
    these, it is identified by its bytes and the number of identical lines before it.

    Exit status: 2 if a line was invalid; with --wait, 1 if a command is dead, 3 if some are still pending.
    Refused commands do not change the status.
    """
    with (
        opened_lines(file) as lines,
        opened_settings() as settings,
        opened_client(settings) as client,
        _watched(lines, wait) as watcher,
    ):
        report = replay_lines(
            client, lines, wait=wait, on_progress=watcher.on_progress, on_bad_line=watcher.on_bad_line
        )
    if json:
        print_json(report.as_json())
    else:
        _show(report)
    raise typer.Exit(_replay_status(report))


def _replay_status(report: ReplayReport) -> int:
    if report.invalid:
        return BAD_INPUT
    if report.pending:
        return PENDING
    return FAILED if report.dead else DONE


def _show(report: ReplayReport) -> None:
    shown = report.as_json()
    del shown["errors"]
    refused = shown.pop("refused", None)
    if refused is not None:
        shown["refused"] = reasons_text(refused)
    shown["seconds"] = f"{report.seconds:.1f}"
    print_fields(shown)


def reasons_text(refused: Mapping[str, int]) -> str:
    """Format the counts of refusals for people."""
    return ", ".join(f"{reason} {count:,}" for reason, count in refused.items()) or "0"


class _Watcher:
    """Draws progress bars, and prints invalid lines above them."""

    def __init__(self, bars: Bars, lines: Lines, wait: bool) -> None:
        self._bars = bars
        self._lines = lines
        self._reading = bars.add_task("read", total=lines.bytes_total, counted="")
        self._applying = bars.add_task("done", total=None, counted="") if wait else None
        self._bad_lines = 0

    def on_progress(self, progress: Progress) -> None:
        counted = f"{progress.accepted:,} new, {progress.duplicates:,} known, {progress.invalid:,} invalid"
        self._bars.update(self._reading, completed=self._lines.bytes_read, counted=counted)
        if self._applying is not None:
            total = progress.accepted + progress.duplicates
            self._bars.update(
                self._applying,
                completed=progress.done,
                total=total,
                counted=f"{progress.done:,} of {total:,}",
            )

    def on_bad_line(self, bad: BadLine) -> None:
        self._bad_lines += 1
        if self._bad_lines <= _BAD_LINES_SHOWN:
            note(f"line {bad.line}: {bad.error}", "red")
        if self._bad_lines == _BAD_LINES_SHOWN:
            note("Further invalid lines are only counted.", "red")


@contextmanager
def _watched(lines: Lines, wait: bool) -> Iterator[_Watcher]:
    with _bars() as bars:
        yield _Watcher(bars, lines, wait)


def _bars() -> Bars:
    console = stderr()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[counted]}"))
    return Bars(
        *columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal, transient=True
    )
