"""What `audit --replay` shows: how far it is, what differs, and where to go on."""

import sqlalchemy as sa
import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from pointledger.cli.output import DONE, FAILED, note, print_fields, print_json, print_table, stderr
from pointledger.observability.replay.audit import replay
from pointledger.observability.replay.report import ReplayReport
from pointledger.storage.ledger import program

_INTERRUPTED = 130  # as shells have it


def replay_audit(database: sa.Engine, tenant_id: str | None, after: str | None, *, json: bool) -> None:
    """Replays, shows the report and exits. Interrupted, it shows what was found so far."""
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
        onward = f"go on with: pointledger audit --replay --after {last}" if last else "no tenant is done yet"
        note(f"Interrupted; {onward}", "yellow")
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
    told = report.as_json()
    if json:
        print_json(told)
        return
    print_table(
        ("id", "what is compared", "verdict"),
        [(each["id"], each["name"], _verdict(each["differences"])) for each in told["checks"]],
    )
    for each in told["checks"]:
        for row in each["rows"]:
            note(f"{each['id']}: {row}", "red")
    print_fields({name: value for name, value in told.items() if name not in ("checks", "without_order")})
    for line in _left_out(report):
        note(line, "yellow")


def _verdict(differences: int) -> str:
    return f"{differences:,} DIFFER" if differences else "the same"


def _left_out(report: ReplayReport) -> list[str]:
    """What a person must know who relies on the report."""
    lines = [
        f"{tenant_id} was not replayed: an older version decided {outcomes:,} of its commands and did not "
        "record their order, so it is not known with what the later ones began. `pointledger audit` checks "
        "what can be checked without the order."
        for tenant_id, outcomes in report.without_order.items()
    ]
    if report.on_trust:
        lines.append(
            f"The facts of {report.on_trust:,} events were erased with a person. What the rules wanted for "
            "them was taken from their outcomes."
        )
    if report.moved_on:
        lines.append(
            f"Workers went on with {report.moved_on:,} users meanwhile. Their commands up to then were "
            "compared, but not what stands of them now."
        )
    return lines
