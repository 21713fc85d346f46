"""Commands that show holds: `holds`, `hold`."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from pointledger.cli.arguments import ROWS_FOR_PEOPLE, Before, Limit, TenantId, UserId
from pointledger.cli.output import Json, note, print_fields, print_json, print_rows, unless_recorded
from pointledger.cli.session import opened_queries


class HoldState(StrEnum):
    """The states of holds."""

    OPEN = "open"
    CAPTURED = "captured"
    RELEASED = "released"
    TIMED_OUT = "timed_out"


def holds(
    tenant_id: TenantId,
    user_id: UserId,
    state: Annotated[
        HoldState | None,
        typer.Option("--state", metavar="STATE", help=f"Only this state: {', '.join(HoldState)}."),
    ] = None,
    limit: Limit = None,
    before: Before = None,
    json: Json = False,
) -> None:
    """List a user's current holds, newest first. With --json, print one per line."""
    limit = limit or (None if json else ROWS_FOR_PEOPLE)
    kind = state.value if state else None
    with opened_queries() as queries:
        found: list[dict[str, Any]] = []
        while limit is None or len(found) < limit:
            page_limit = {} if limit is None else {"limit": limit - len(found)}
            page = queries.holds(tenant_id, user_id, state=kind, before=before, **page_limit)
            found += page.holds
            before = page.next_before
            if before is None:
                break
    if json:
        for each in found:
            print_json(each)
        return
    columns = ("id", "seq", "state", "amount", "held", "captured", "released", "opened_at", "expires_at")
    print_rows(columns, found)
    if before is not None:
        note(f"For older ones: --before {before}", "dim")


def hold(
    tenant_id: TenantId,
    hold_id: Annotated[
        str, typer.Argument(metavar="HOLD_ID", help="The hold's id, from `holds` or the freeze's outcome.")
    ],
    json: Json = False,
) -> None:
    """Show a hold's current state, and the lots of its points."""
    with opened_queries() as queries:
        found = queries.hold(tenant_id, hold_id)
    if json:
        print_json(found)
        return
    lots = found.pop("lots")
    print_fields(unless_recorded(found))
    columns = ("lot_id", "amount", "held", "state", "earned_at", "expires_at")
    print_rows(columns, lots, "lots")
