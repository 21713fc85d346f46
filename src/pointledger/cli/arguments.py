"""Arguments and options that several commands share."""

from datetime import datetime
from typing import Annotated

import typer

from pointledger.cli.input import entity_id, moment

ROWS_FOR_PEOPLE = 50  # of a list without --json: one or two screens
_MAX_WAIT_SECONDS = 3600.0  # so that a forgotten shell ends

TenantId = Annotated[str, typer.Argument(metavar="TENANT", parser=entity_id, help="The tenant's id.")]
UserId = Annotated[str, typer.Argument(metavar="USER", parser=entity_id, help="The user's id in the tenant.")]
File = Annotated[str, typer.Argument(metavar="FILE|-", help="A JSON file; - reads stdin.")]
LinesFile = Annotated[
    str, typer.Argument(metavar="FILE", help="A file of JSON lines, plain or gzip; - reads stdin.")
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        help=f"At most N rows. Default: all with --json, else {ROWS_FOR_PEOPLE}.",
    ),
]
Before = Annotated[
    int | None,
    typer.Option("--before", metavar="SEQ", min=1, help="Only rows below this seq, for the next page."),
]
Wait = Annotated[
    float | None,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        min=0.0,
        max=_MAX_WAIT_SECONDS,
        help="Wait up to SECONDS for the outcome. Exit with status 3 if it is still pending.",
    ),
]
WaitForAll = Annotated[
    bool, typer.Option("--wait", help="Wait until every command has its outcome, and count the outcomes.")
]

# ------------------------------------------------------------------------------------------------ jobs

OneTenant = Annotated[
    str | None, typer.Option("--tenant", parser=entity_id, metavar="TENANT", help="Only this tenant.")
]
AsOf = Annotated[
    datetime | None,
    typer.Option(
        "--as-of", parser=moment, metavar="TIME", help="For example 2026-03-01T00:00:00Z. Default: now."
    ),
]
AccountsAtMost = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        help="At most N accounts per tenant, soonest expiry first. Default: the tenant's "
        "expire_accounts_per_run.",
    ),
]
