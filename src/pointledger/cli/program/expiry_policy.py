"""Command that applies a changed expiry policy to existing points: `tenant apply-expiry`."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

import typer

from pointledger.cli.arguments import TenantId, WaitForAll
from pointledger.cli.input import moment
from pointledger.cli.output import Json, print_fields, print_json, stderr
from pointledger.cli.progress import Tally
from pointledger.cli.session import opened_acceptance, opened_client, opened_database, opened_settings
from pointledger.jobs.expiry_policy import PolicyChange
from pointledger.settings import Settings

NotBefore = Annotated[
    datetime | None,
    typer.Option(
        "--not-before",
        parser=moment,
        metavar="TIME",
        help="The end of the notice period. Default: after the tenant's expiry_notice_days.",
    ),
]


def apply_expiry(
    tenant_id: TenantId,
    not_before: NotBefore = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="At most N accounts. Run again for the rest."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count the lots that would change.")
    ] = False,
    wait: WaitForAll = False,
    json: Json = False,
) -> None:
    """Apply a changed expiry policy, of the tenant or of a rule, to existing points.

    Without this command, existing points keep their expiry. Some points always keep it: those with an
    expiry from a command, those imported from another system, and those extended by an administrator. You
    can stop this command and run it again with the same --not-before: lots that were moved are not moved
    again.
    """
    with opened_settings() as settings, opened_client(settings) as client, _opened(settings) as change:
        tally, accepted, shown = Tally(client), 0, dict[str, Any]()
        with stderr().status("Checking lots ..."):
            for report, receipt in change.apply(tenant_id, not_before, limit=limit, dry_run=dry_run):
                shown = report.as_json()
                if receipt:
                    accepted += receipt.new
                    tally.add(receipt.task_ids)
            if wait:
                tally.wait(lambda: None)
    shown |= {"dry_run": dry_run, "accepted": accepted}
    if wait:
        shown |= {"applied": tally.applied, "refused": sum(tally.refused.values()), "dead": tally.dead}
    (print_json if json else print_fields)(shown)
    raise tally.exit(waited=wait)


@contextmanager
def _opened(settings: Settings) -> Iterator[PolicyChange]:
    with opened_database(settings) as database, opened_acceptance(settings) as acceptance:
        yield PolicyChange(database, acceptance)
