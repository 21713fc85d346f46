"""Runs `verify --replay`: shows its progress, the differences, and how to continue after Ctrl-C."""

import sqlalchemy as sa
import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from pointledger.cli.output import DONE, FAILED, note, print_fields, print_json, print_table, stderr
from pointledger.observability.replay.replay import replay
from pointledger.observability.replay.report import ReplayReport
from pointledger.storage.ledger import program

_INTERRUPTED = 130  # the status of shells after Ctrl-C


def verify_by_replay(database: sa.Engine, tenant_id: str | None, after: str | None, *, json: bool) -> None:
    """Replay, show the report and exit. After Ctrl-C, show the report so far."""
    if tenant_id is not None:
        with database.connect() as connection:
            program.tenant(connection, tenant_id)
    seen: list[ReplayReport] = []
    try:
        report = _replay(database, tenant_id, after, seen)
    except KeyboardInterrupt:
        last = seen[-1].last_tenant if seen else after
        if seen:
            _show(seen[-1], json=json)
        hint = (
            f"To continue: pointledger verify --replay --after {last}" if last else "No tenant is done yet."
        )
        note(f"Interrupted. {hint}", "yellow")
        raise typer.Exit(_INTERRUPTED) from None
    _show(report, json=json)
    raise typer.Exit(FAILED if report.differences else DONE)


def _replay(
    database: sa.Engine, tenant_id: str | None, after: str | None, seen: list[ReplayReport]
) -> ReplayReport:
    console = stderr()
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[found]}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Bars(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:
        deciding = bars.add_task("reading the order", total=None, found="")

        def on_progress(report: ReplayReport, of_all: int) -> None:
            seen[:] = [report]
            found = f"{report.differences:,} differences" if report.differences else "no difference"
            bars.update(
                deciding, description="deciding again", completed=report.commands, total=of_all, found=found
            )

        return replay(database, tenant_id=tenant_id, after=after, on_progress=on_progress)


def _show(report: ReplayReport, *, json: bool) -> None:
    shown = report.as_json()
    if json:
        print_json(shown)
        return
    print_table(
        ("id", "comparison", "verdict"),
        [(each["id"], each["name"], _verdict(each["differences"])) for each in shown["checks"]],
    )
    for each in shown["checks"]:
        for row in each["rows"]:
            note(f"{each['id']}: {row}", "red")
    print_fields({name: value for name, value in shown.items() if name not in ("checks", "without_order")})
    for line in _limitations(report):
        note(line, "yellow")


def _verdict(differences: int) -> str:
    return f"{differences:,} DIFFER" if differences else "the same"


def _limitations(report: ReplayReport) -> list[str]:
    """Describe what the report does not cover."""
    lines = [
        f"{tenant_id} was not replayed: an older version decided {outcomes:,} of its commands and did not "
        "record their order, so the state before the later ones is unknown. Run `pointledger verify`, which "
        "does not need the order."
        for tenant_id, outcomes in report.without_order.items()
    ]
    if report.on_trust:
        lines.append(
            f"{report.on_trust:,} events were not matched with rules again, because their data was erased "
            "with a user, or because the rules could cost too much. For these, the replay took what the "
            "rules would grant from their outcomes."
        )
    if report.moved_on:
        lines.append(
            f"Workers applied commands of {report.moved_on:,} users during the replay. The earlier commands "
            "were compared, but not the current accounts."
        )
    return lines
