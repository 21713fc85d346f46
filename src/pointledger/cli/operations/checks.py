"""Commands that prepare and check the system: `migrate`, `doctor`, `metrics`, `verify`."""

from typing import Annotated, Any, NoReturn

import sqlalchemy as sa
import typer
from prometheus_client import CollectorRegistry, Metric, start_http_server
from rich.progress import Progress as Bars

from pointledger.cli.input import actor, entity_id
from pointledger.cli.operations.processes import stop_signals
from pointledger.cli.operations.replay import verify_by_replay
from pointledger.cli.output import DONE, FAILED, Json, note, print_fields, print_json, print_table, stderr
from pointledger.cli.session import named_url_errors, opened_database, opened_settings
from pointledger.errors import AddressTaken
from pointledger.messaging import redis_client
from pointledger.observability import verify as verifying
from pointledger.observability.doctor import Report, Severity, examine
from pointledger.observability.metrics import Exporter, exposition
from pointledger.observability.verify import VerifyReport
from pointledger.storage.errors import DATABASE_ERRORS
from pointledger.storage.queue import verify_runs


def migrate(json: Json = False) -> None:
    """Create the tables, or upgrade them to this version, while processes use them.

    Running it again changes nothing, or continues where it was interrupted.

    If POINTLEDGER_OWNER_URL is set, this connects with it as the tables' owner. It then grants the login of
    POINTLEDGER_DATABASE_URL access to the tables, and creates that login if it does not exist.
    """
    from pointledger.storage import migrate as migrations  # noqa: PLC0415  Alembic, which no other command needs

    with opened_settings() as settings:
        applied = migrations.migrate(
            settings.owner, settings.lanes, settings.database, report=lambda line: note(line, "dim")
        )
    if json:
        print_json({"migrated": True, "lanes": settings.lanes, "revisions": applied})
        return
    note(f"The database is ready, with {settings.lanes} lanes.", "green")


def doctor(json: Json = False) -> None:
    """Check servers, settings and pending work, and print a fix for each problem. Changes nothing.

    Exit status 1 if a problem is a danger, not only a warning.
    """
    with opened_settings() as settings, named_url_errors():
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
        if finding.verdict is not Severity.FINE:
            note(f"{finding.check}: {finding.remedy}", _COLORS[finding.verdict])


_COLORS = {Severity.WARNING: "yellow", Severity.DANGER: "bold red"}


def metrics(
    port: Annotated[
        int | None,
        typer.Option(
            "--port", metavar="PORT", min=0, max=65_535, help="Serve the metrics on this port until stopped."
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="The address to serve on.")] = "127.0.0.1",
    json: Json = False,
) -> None:
    """Print or serve the metrics of the whole ledger in Prometheus' text format.

    /metrics on the operators' port of `pointledger serve` includes them.
    """
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
        note(f"Metrics on http://{host}:{server.server_port}/metrics; Ctrl-C stops it.", "dim")
        stop.wait()
        server.shutdown()
        thread.join()


def _samples(metric: Metric) -> list[dict[str, Any]]:
    return [{"name": one.name, "labels": one.labels, "value": one.value} for one in metric.samples]


def verify(
    tenant_id: Annotated[
        str | None, typer.Argument(metavar="[TENANT]", parser=entity_id, help="The account's tenant.")
    ] = None,
    user_id: Annotated[
        str | None, typer.Argument(metavar="[USER]", parser=entity_id, help="The account's user.")
    ] = None,
    replay: Annotated[
        bool,
        typer.Option("--replay", help="Decide every command again in the recorded order, and compare."),
    ] = False,
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="TENANT", help="Replay this tenant only.")
    ] = None,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="TENANT", help="Replay only tenants after this one."),
    ] = None,
    json: Json = False,
) -> None:
    """Check every invariant of the ledger, or of one account, while the ledger runs.

    If one is broken, print the rows and exit with status 1.

    With TENANT and USER, check one account: its chain of entries, its totals, lots and holds, and the wallet.

    With --replay, decide every command of the journal again with the configuration that was in force.
    Compare outcomes, entries, lots, holds, limits, wallets and accounts with the stored ones. Tenants are
    replayed in the order of their ids; after Ctrl-C, the command prints how to continue.
    """
    _check_options(tenant_id, user_id, replay=replay, only_with_replay=tenant or after)
    with opened_settings() as settings, opened_database(settings) as database:
        if replay:
            verify_by_replay(database, tenant, after, json=json)
        if tenant_id and user_id:
            account = verifying.verify_account(database, tenant_id, user_id)
            _finish(account.as_json(), is_sound=account.is_sound, json=json)
        report = _verify(database)
        _record(database, report)
    _finish(report.as_json(), is_sound=not report.violations, json=json)


def _check_options(
    tenant_id: str | None, user_id: str | None, *, replay: bool, only_with_replay: str | None
) -> None:
    if only_with_replay and not replay:
        raise typer.BadParameter("requires --replay", param_hint="--tenant, --after")
    if tenant_id and (user_id is None or replay):
        raise typer.BadParameter("give both, without --replay", param_hint="TENANT USER")


def _finish(report: dict[str, Any], *, is_sound: bool, json: bool) -> NoReturn:
    (print_json if json else _show)(report)
    raise typer.Exit(DONE if is_sound else FAILED)


def _verify(database: sa.Engine) -> VerifyReport:
    console = stderr()
    with Bars(console=console, disable=not console.is_terminal, transient=True) as bars:
        checking = bars.add_task("rows checked", total=None)

        def on_progress(done: int, known: int) -> None:
            bars.update(checking, completed=done, total=known)

        return verifying.verify(database, on_progress=on_progress if console.is_terminal else None)


def _record(database: sa.Engine, report: VerifyReport) -> None:
    """Record the check, so that others see that it was done. A database may be read-only."""
    found = [
        {
            "id": finding.invariant.id,
            "name": finding.invariant.name,
            "violations": finding.violations,
            "rows": finding.rows,
        }
        for finding in report.findings
        if finding.violations
    ]
    try:
        with database.begin() as connection:
            verify_runs.record(
                connection,
                verify_runs.ALL_TENANTS,
                actor(None),
                report.seconds,
                accounts=report.accounts,
                entries=report.entries,
                violations=report.violations,
                findings=found,
            )
    except DATABASE_ERRORS as error:
        note(f"The check could not be recorded: {type(error).__name__}.", "dim")


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
