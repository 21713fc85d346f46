"""What administrators did: `acts`."""

from enum import StrEnum
from typing import Annotated

import typer

from pointledger.cli.arguments import TenantId
from pointledger.cli.input import entity_id
from pointledger.cli.output import Json, note, print_json, print_table
from pointledger.cli.session import looking_up
from pointledger.client.queries.audit_log import MOST_ACTS


class State(StrEnum):
    """What came of an act."""

    APPLIED = "applied"
    REFUSED = "refused"


def acts(
    tenant_id: TenantId,
    user_id: Annotated[
        str | None, typer.Option("--user", metavar="USER", parser=entity_id, help="Only about this user.")
    ] = None,
    actor: Annotated[str | None, typer.Option("--actor", metavar="WHO", help="Only by this one.")] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="KIND", help="Like adjust, rule-put or cancel.")
    ] = None,
    state: Annotated[
        State | None, typer.Option("--state", metavar="STATE", help="applied or refused.")
    ] = None,
    before: Annotated[
        str | None, typer.Option("--before", metavar="ID", help="Those before this one: the next page.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=MOST_ACTS, help="So many at most.")
    ] = 50,
    json: Json = False,
) -> None:
    """List what administrators did and tried, the latest first: who, why, and what was before and after.
    With --json one a line."""
    with looking_up() as lookups:
        found = lookups.acts(
            tenant_id,
            user_id=user_id,
            actor=actor,
            kind=kind,
            state=state.value if state else None,
            before=before,
            limit=limit,
        )
    if json:
        for act in found:
            print_json(act)
        return
    columns = ("recorded_at", "kind", "actor", "reason", "user_id", "state", "refusal", "id")
    print_table(columns, [[act[column] for column in columns] for act in found])
    if len(found) == limit:
        note(f"Earlier ones: --before {found[-1]['id']}", "dim")
