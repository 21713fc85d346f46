"""Command that shows the audit log: `audit-log`."""

from enum import StrEnum
from typing import Annotated

import typer

from pointledger.cli.arguments import TenantId
from pointledger.cli.input import entity_id
from pointledger.cli.output import Json, note, print_json, print_rows
from pointledger.cli.session import opened_queries
from pointledger.client.queries.audit_log import MOST_RECORDS


class State(StrEnum):
    """The outcomes of audited actions."""

    APPLIED = "applied"
    REFUSED = "refused"


UserFilter = Annotated[
    str | None,
    typer.Option("--user", metavar="USER", parser=entity_id, help="Only records about this user."),
]
ActorFilter = Annotated[
    str | None, typer.Option("--actor", metavar="ACTOR", help="Only records of this actor.")
]
KindFilter = Annotated[
    str | None,
    typer.Option("--kind", metavar="KIND", help="Only this kind, for example adjust or rule-put."),
]
StateFilter = Annotated[
    State | None,
    typer.Option("--state", metavar="STATE", help="Only this outcome: applied or refused."),
]
BeforeId = Annotated[
    str | None,
    typer.Option("--before", metavar="ID", help="Only records before this one, for the next page."),
]
Limit = Annotated[
    int, typer.Option("--limit", metavar="N", min=1, max=MOST_RECORDS, help="At most N records.")
]


def audit_log(
    tenant_id: TenantId,
    user_id: UserFilter = None,
    actor: ActorFilter = None,
    kind: KindFilter = None,
    state: StateFilter = None,
    before: BeforeId = None,
    limit: Limit = 50,
    json: Json = False,
) -> None:
    """List what administrators did, newest first, with actor, reason, and the state before and after.

    Includes refused attempts. With --json, print one record per line.
    """
    with opened_queries() as queries:
        found = queries.audit_log(
            tenant_id,
            user_id=user_id,
            actor=actor,
            kind=kind,
            state=state.value if state else None,
            before=before,
            limit=limit,
        )
    if json:
        for record in found:
            print_json(record)
        return
    columns = ("recorded_at", "kind", "actor", "reason", "user_id", "state", "refusal", "id")
    print_rows(columns, found)
    if len(found) == limit:
        note(f"For older ones: --before {found[-1]['id']}", "dim")
