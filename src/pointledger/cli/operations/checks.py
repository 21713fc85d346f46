"""The operator's: `migrate`, `doctor`, `metrics`, `audit` and `integrity`."""

from typing import Annotated, Any

import sqlalchemy as sa
import typer
from prometheus_client import CollectorRegistry, Metric, start_http_server
from rich.progress import Progress as Bars

from pointledger.cli.arguments import TenantId, UserId
from pointledger.cli.operations.processes import stop_signals
from pointledger.cli.operations.replay import replay_audit
from pointledger.cli.output import DONE, FAILED, Json, note, print_fields, print_json, print_table, stderr
from pointledger.cli.session import malformed_urls_named, opened_database, opened_settings
from pointledger.errors import AddressTaken
from pointledger.messaging import redis_client
from pointledger.observability import verify as audits
from pointledger.observability.doctor import Report, Verdict, examine
from pointledger.observability.metrics import Exporter, exposition
from pointledger.observability.verify import AuditReport
from pointledger.storage import migrate as migrations


def migrate(json: Json = False) -> None:
    """Create the tables, or bring them to this version. Running it again changes nothing.

    Connects as the tables' owner with POINTLEDGER_OWNER_URL, if that is given, and lets the login that
    POINTLEDGER_DATABASE_URL names use the tables; it is made, if there is none.
    """
    with opened_settings() as settings:
        migrations.migrate(settings.owner, settings.lanes, settings.database)
    if json:
        print_json({"migrated": True, "lanes": settings.lanes})
        return
    note(f"The database is ready, with {settings.lanes} lanes.", "green")


def doctor(json: Json = False) -> None:
    """Look at servers, settings and what waits, and say of each finding what to do. Exit status 1 if one is
    dangerous. Changes nothing."""
    with opened_settings() as settings, malformed_urls_named():
        report = examine(settings)
    if json:
        print_json(report.as_json())
    else:
        _show_findings(report)
    raise typer.Exit(FAILED if report.dangers else DONE)


def _show_findings(report: Report) -> None:
    print_table(
        ("check", "verdict", "seen"),
        [(finding.check, finding.verdict.upper(), finding.seen) for finding in report.findings],
    )
    for finding in report.findings:
        if finding.verdict is not Verdict.FINE:
            note(f"{finding.check}: {finding.remedy}", _COLOURS[finding.verdict])


_COLOURS = {Verdict.WARNING: "yellow", Verdict.DANGER: "bold red"}


def metrics(
    port: Annotated[
        int | None,
        typer.Option("--port", metavar="PORT", min=0, max=65_535, help="Serve them there until stopped."),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="The address to serve them on.")] = "127.0.0.1",
    json: Json = False,
) -> None:
    """Print the whole ledger's metrics in Prometheus' text format, or serve them. The gateway's /metrics has
    them, too."""
    with opened_settings() as settings, opened_database(settings) as database:
        exporter = Exporter(database, redis_client.connect(settings), settings)
        if port is not None:
            _serve(exporter, host, port)
        elif json:
            print_json({metric.name: _samples(metric) for metric in exporter.collect()})
        else:
            typer.echo(exposition(exporter).decode(), nl=False)


def _serve(exporter: Exporter, host: str, port: int) -> None:
    registry = CollectorRegistry()
    registry.register(exporter)
    with stop_signals() as stop:
        try:
            server, thread = start_http_server(port, host, registry)
        except OSError as error:
            raise AddressTaken(f"{host}:{port}: {error.strerror}") from None
        note(f"Metrics on http://{host}:{server.server_port}/metrics; Ctrl-C ends it.", "dim")
        stop.wait()
        server.shutdown()
        thread.join()


def _samples(metric: Metric) -> list[dict[str, Any]]:
    return [{"name": one.name, "labels": one.labels, "value": one.value} for one in metric.samples]


def audit(
    replay: Annotated[
        bool,
        typer.Option("--replay", help="Decide every command again, in the recorded order, and compare."),
    ] = False,
    tenant_id: Annotated[
        str | None, typer.Option("--tenant", metavar="TENANT", help="Replay this tenant only.")
    ] = None,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="TENANT", help="Replay tenants whose ids come after this one's."),
    ] = None,
    json: Json = False,
) -> None:
    """Check every invariant of the ledger, while it works. Exit status 1 and the rows if one is broken.

    With --replay: take the journal and the versions in force, decide every command again, and compare
    outcomes, entries, lots, holds, limits, wallets and accounts with what is kept. It goes tenant by tenant,
    in the order of their ids; Ctrl-C says where to go on.
    """
    if not replay and (tenant_id or after):
        raise typer.BadParameter("goes with --replay", param_hint="--tenant, --after")
    with opened_settings() as settings, opened_database(settings) as database:
        if replay:
            replay_audit(database, tenant_id, after, json=json)
        report = _audit(database)
    if json:
        print_json(report.as_json())
    else:
        _show(report.as_json())
    raise typer.Exit(FAILED if report.violations else DONE)


def integrity(tenant_id: TenantId, user_id: UserId, json: Json = False) -> None:
    """Check one account: its chain of entries, its totals, lots and holds, and the user's wallet. Exit status
    1 and the rows if an invariant is broken. Changes nothing."""
    with opened_settings() as settings, opened_database(settings) as database:
        found = audits.integrity(database, tenant_id, user_id)
    if json:
        print_json(found.as_json())
    else:
        _show(found.as_json())
    raise typer.Exit(DONE if found.is_sound else FAILED)


def _audit(database: sa.Engine) -> AuditReport:
    console = stderr()
    with Bars(console=console, disable=not console.is_terminal, transient=True) as bars:
        checking = bars.add_task("rows checked", total=None)

        def on_progress(done: int, known: int) -> None:
            bars.update(checking, completed=done, total=known)

        return audits.audit(database, on_progress=on_progress if console.is_terminal else None)


def _show(report: dict[str, Any]) -> None:
    print_table(
        ("id", "invariant", "verdict"),
        [
            (found["id"], found["name"], "BROKEN" if found["rows"] else "holds")
            for found in report["invariants"]
        ],
    )
    for found in report["invariants"]:
        for row in found["rows"]:
            note(f"{found['id']}: {row}", "red")
    print_fields({name: value for name, value in report.items() if name != "invariants"})
