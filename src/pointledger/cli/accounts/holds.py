"""Points that are set aside: `holds`, `hold`; and `sweep holds`, which releases those that have timed out."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from pointledger.cli.arguments import TenantId, UserId
from pointledger.cli.output import Json, note, print_fields, print_json, print_table, unless_recorded
from pointledger.cli.session import looking_up

_ROWS_FOR_PEOPLE = 50  # a screen or two


class HoldState(StrEnum):
    """What may have become of a hold."""

    OPEN = "open"
    CAPTURED = "captured"
    RELEASED = "released"
    TIMED_OUT = "timed_out"


def holds(
    tenant_id: TenantId,
    user_id: UserId,
    state: Annotated[
        HoldState | None, typer.Option("--state", metavar="STATE", help=f"One of {', '.join(HoldState)}.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            min=1,
            help=f"So many at most; if not given, all with --json and {_ROWS_FOR_PEOPLE} for people.",
        ),
    ] = None,
    before: Annotated[
        int | None,
        typer.Option("--before", metavar="SEQ", min=1, help="Only those below this seq: the next page."),
    ] = None,
    json: Json = False,
) -> None:
    """List a user's holds as they are now, the latest first; with --json one a line."""
    most = limit or (None if json else _ROWS_FOR_PEOPLE)
    kind = state.value if state else None
    with looking_up() as lookups:
        found: list[dict[str, Any]] = []
        while most is None or len(found) < most:
            room = {} if most is None else {"limit": most - len(found)}
            page = lookups.holds(tenant_id, user_id, state=kind, before=before, **room)
            found += page.holds
            before = page.next_before
            if before is None:
                break
    if json:
        for each in found:
            print_json(each)
        return
    columns = ("id", "seq", "state", "amount", "held", "captured", "released", "opened_at", "expires_at")
    print_table(columns, [[line[column] for column in columns] for line in found])
    if before is not None:
        note(f"Older ones: --before {before}", "dim")


def hold(
    tenant_id: TenantId,
    hold_id: Annotated[
        str, typer.Argument(metavar="HOLD_ID", help="The hold's id, as `holds` and the freeze's outcome say.")
    ],
    json: Json = False,
) -> None:
    """Show one hold as it is now, and what it has of which lots."""
    with looking_up() as lookups:
        found = lookups.hold(tenant_id, hold_id)
    if json:
        print_json(found)
        return
    lots = found.pop("lots")
    print_fields(unless_recorded(found))
    columns = ("lot_id", "amount", "held", "state", "earned_at", "expires_at")
    print_table(columns, [[lot[column] for column in columns] for lot in lots], "lots")
