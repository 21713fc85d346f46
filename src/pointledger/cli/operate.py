"""The operator's: `migrate`, `audit` and `integrity`."""

from typing import Any

import sqlalchemy as sa
import typer
from rich.progress import Progress as Bars

from pointledger import audit as audits
from pointledger.audit import AuditReport
from pointledger.cli.accounts import UserId
from pointledger.cli.opening import opened_database, opened_settings
from pointledger.cli.output import DONE, FAILED, Json, note, print_fields, print_json, print_table, stderr
from pointledger.cli.programmes import TenantId
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


def audit(json: Json = False) -> None:
    """Check every invariant of the ledger, while it works. Exit status 1 and the rows if one is broken."""
    with opened_settings() as settings, opened_database(settings) as database:
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
