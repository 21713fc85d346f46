"""Arguments and options that several commands share."""

from datetime import datetime
from typing import Annotated

import typer

from pointledger.cli.input import (
    entity_id,
    moment,
)

UserId = Annotated[
    str, typer.Argument(metavar="USER", parser=entity_id, help="The user's id in this tenant.")
]


WaitForAll = Annotated[
    bool, typer.Option("--wait", help="Wait until each command has its outcome, and count them.")
]


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


_MAX_WAIT_SECONDS = 3600.0  # a forgotten shell does not wait for ever


Wait = Annotated[
    float | None,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        min=0.0,
        max=_MAX_WAIT_SECONDS,
        help="Wait so long for the outcome. Exit status 3 if it is still pending then.",
    ),
]


File = Annotated[str, typer.Argument(metavar="FILE|-", help="A file of JSON; - reads stdin.")]


TenantId = Annotated[str, typer.Argument(metavar="TENANT", parser=entity_id, help="The tenant's id.")]
