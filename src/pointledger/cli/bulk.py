"""Much at once: `replay` a file, `sweep` what is due. A progress bar on a terminal, silence in a pipe."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from pointledger.cli.opening import opened_acceptance, opened_client, opened_database, opened_settings
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
from pointledger.cli.reading import Lines, entity_id, moment, opened_lines
from pointledger.cli.replay import BadLine, Progress, ReplayReport
from pointledger.cli.replay import replay as replay_lines
from pointledger.cli.tally import Tally
from pointledger.settings import Settings
from pointledger.sweep import Sweep

_BAD_LINES_SHOWN = 1000  # a file of another kind must not flood the terminal

WaitForAll = Annotated[
    bool, typer.Option("--wait", help="Wait until each command has its outcome, and count them.")
]


# ---------------------------------------------------------------------------------------------- replay


def replay(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Lines of JSON, plain or gzip; - reads stdin.")],
    wait: WaitForAll = False,
    json: Json = False,
) -> None:
    """Accept a file of commands, one JSON object a line, in its order.

    A line: {"kind": "apply-rule", "tenant_id": "shop", "user_id": "anna", "event_type": "basket.paid",
    "event_id": "b-17", "occurred_at": "2017-01-01T11:53:26Z", "metadata": {"amount_minor": 1250}}

    A bad line is reported with its number, and the others go on. Replaying the file again applies nothing
    twice: event_id, idempotency_key or id tell a line; one without any is told by its bytes and by how many
    identical lines came before it.

    Exit status 2: some line was bad; with --wait, 1: some command is dead, 3: some still wait. Refusals
    are counted, they are answers.
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
        shown["refused"] = _reasons(refused)
    shown["seconds"] = f"{report.seconds:.1f}"
    print_fields(shown)


def _reasons(refused: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in refused.items()) or "0"


class _Watcher:
    """Draws the bars, and writes bad lines above them."""

    def __init__(self, bars: Bars, lines: Lines, wait: bool) -> None:
        self._bars = bars
        self._lines = lines
        self._reading = bars.add_task("read", total=lines.bytes_total, counted="")
        self._applying = bars.add_task("done", total=None, counted="") if wait else None
        self._bad_lines = 0

    def on_progress(self, progress: Progress) -> None:
        counted = f"{progress.accepted:,} new, {progress.duplicates:,} known, {progress.invalid:,} bad"
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
            note("Further bad lines are counted, not shown.", "red")


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


# ----------------------------------------------------------------------------------------------- sweep


OneTenant = Annotated[
    str | None, typer.Option("--tenant", parser=entity_id, metavar="TENANT", help="This tenant only.")
]
SweptAsOf = Annotated[
    datetime | None,
    typer.Option(
        "--as-of", parser=moment, metavar="TIME", help="Like 2026-03-01T00:00:00Z; now, if not given."
    ),
]
AccountsAtMost = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        help="So many accounts of each tenant at most, soonest expiry first; if not given, the tenant's "
        "expire_accounts_per_run holds.",
    ),
]


def sweep_expiry(
    tenant: OneTenant = None,
    as_of: SweptAsOf = None,
    limit: AccountsAtMost = None,
    wait: WaitForAll = False,
    json: Json = False,
) -> None:
    """Expire what is due: finds the accounts and accepts a command for each.

    Beat does it every night after each tenant's midnight. Sweeping twice as of one time is sweeping once.
    Paused tenants are left out unless --tenant names them: their commands wait. See it before: sweep preview.
    """
    began = time.monotonic()
    with opened_settings() as settings, opened_client(settings) as client, opened_sweep(settings) as sweep:
        tally, found, accepted = Tally(client), 0, 0
        with stderr().status("Sweeping ..."):
            for receipt in sweep.expire_now(as_of, tenant, limit):
                found += len(receipt.task_ids)
                accepted += receipt.new
                tally.add(receipt.task_ids)
            if wait:
                tally.wait(lambda: None)
    shown: dict[str, Any] = {"found": found, "accepted": accepted, "duplicates": found - accepted}
    if wait:
        refused = dict(tally.refused)
        shown |= {
            "applied": tally.applied,
            "refused": refused if json else _reasons(refused),
            "dead": tally.dead,
        }
        shown |= {"pending": tally.pending} if tally.pending else {}
    shown["seconds"] = round(time.monotonic() - began, 3)
    (print_json if json else print_fields)(shown)
    raise tally.exit(waited=wait)


@contextmanager
def opened_sweep(settings: Settings) -> Iterator[Sweep]:
    """What finds what is due."""
    with opened_database(settings) as database, opened_acceptance(database, settings) as acceptance:
        yield Sweep(database, acceptance)
