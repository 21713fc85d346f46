"""What else may be asked: `entry`, `why`, `expiring`, `value`, `stats`, `limits`, `export`, `sweep
preview`."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from pointledger.cli.arguments import TenantId, UserId
from pointledger.cli.input import entity_id
from pointledger.cli.output import (
    Json,
    note,
    print_fields,
    print_json,
    print_lines,
    print_table,
    unless_recorded,
)
from pointledger.cli.session import looking_up
from pointledger.client.queries.ledger import DAYS, MONTHS, MOST_DAYS, MOST_MONTHS

EntryId = Annotated[
    str, typer.Argument(metavar="ENTRY_ID", help="The entry's id, as `entries --json` has it.")
]


def entry(tenant_id: TenantId, entry_id: EntryId, json: Json = False) -> None:
    """Show one entry."""
    with looking_up() as lookups:
        found = lookups.entry(tenant_id, entry_id)
    (print_json if json else print_fields)(found)


def why(tenant_id: TenantId, entry_id: EntryId, json: Json = False) -> None:
    """Tell how an entry came about: its command, the rule that granted it and what held it back, the lots
    that paid or came."""
    with looking_up() as lookups:
        found = lookups.why(tenant_id, entry_id)
    if json:
        print_json(asdict(found))
        return
    print_lines(found.told)


def expiring(
    tenant_id: TenantId,
    user_id: UserId,
    days: Annotated[
        int,
        typer.Option(
            "--days", metavar="N", min=1, max=MOST_DAYS, help="Calendar days of the tenant, from now."
        ),
    ] = DAYS,
    json: Json = False,
) -> None:
    """List the lots of which something expires within so many days; frozen points are not counted."""
    with looking_up() as lookups:
        found = lookups.expiring(tenant_id, user_id, days)
    if json:
        print_json(found.as_json())
        return
    columns = ("expires_at", "points", "earned_at", "id")
    print_table(columns, [[lot[column] for column in columns] for lot in found.lots])
    note(f"{found.points:,} points in {found.lots_in_all:,} lots expire by {found.as_json()['until']}.")
    if found.points != found.recorded_points:
        note(f"As recorded, {found.recorded_points:,} do: something has come due since.", "yellow")
    if not found.expire_enabled:
        note("Expiry is switched off for this tenant: nothing goes until it is switched on.", "yellow")
    if found.expiry_exempt:
        note("The account is exempt: nothing goes.", "yellow")
    if found.expires_not_before:
        note(f"Nothing goes before {found.expires_not_before}.", "yellow")


def value(tenant_id: TenantId, user_id: UserId, json: Json = False) -> None:
    """Show what a user's available points are worth in money; for cash_equivalent points only."""
    with looking_up() as lookups:
        found = asdict(lookups.value(tenant_id, user_id))
    if json:
        print_json(found)
        return
    print_fields(unless_recorded(found))


def stats(
    tenant_id: TenantId,
    user_id: Annotated[
        str | None,
        typer.Argument(metavar="[USER]", parser=entity_id, help="One user; the tenant, if not given."),
    ] = None,
    months: Annotated[
        int,
        typer.Option("--months", metavar="N", min=1, max=MOST_MONTHS, help="Of a user: so many months back."),
    ] = MONTHS,
    json: Json = False,
) -> None:
    """Show figures of a user, by month (when it happened) and by rule; or of a tenant: accounts, what is
    outstanding, totals, and what was recorded this month."""
    with looking_up() as lookups:
        if user_id is None:
            found = lookups.tenant_statistics(tenant_id)
        else:
            found = lookups.user_statistics(tenant_id, user_id, months)
    if json:
        print_json(found)
        return
    fields = {name: figures for name, figures in found.items() if not isinstance(figures, list)}
    print_fields(unless_recorded(fields.pop("account", None) or fields))
    for name in ("by_month", "this_month", "by_rule"):
        _print_figures(name, found.get(name))


def _print_figures(name: str, figures: list[dict[str, Any]] | None) -> None:
    if figures:
        columns = tuple(figures[0])
        title = name.replace("_", " ")
        print_table(columns, [[line[column] for column in columns] for line in figures], title)


def limits(tenant_id: TenantId, json: Json = False) -> None:
    """Show what is used and left, right now, of the limits that all users of a tenant share: those of scope
    `rule` and `tenant`. With --json one limit a line."""
    with looking_up() as lookups:
        found = [asdict(limit) for limit in lookups.shared_limits(tenant_id)]
    if json:
        for limit in found:
            print_json(limit)
        return
    columns = ("rule", "enabled", "scope", "period", "unit", "starts_on", "max", "used", "left")
    print_table(columns, [[limit[column] for column in columns] for limit in found])


def export(tenant_id: TenantId, user_id: UserId, json: Json = False) -> None:
    """Print everything about a user as one JSON object: account, lots, entries, commands and what came of
    them. Reads the whole journal, so it takes its time."""
    with looking_up() as lookups:
        print_json(lookups.export_user(tenant_id, user_id))
