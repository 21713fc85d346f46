"""Other queries: `entry`, `explain`, `expiring`, `value`, `stats`, `limits`, `export`."""

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
    print_rows,
    unless_recorded,
)
from pointledger.cli.session import opened_queries
from pointledger.client.queries.ledger import DAYS, MONTHS, MOST_DAYS, MOST_MONTHS

EntryId = Annotated[str, typer.Argument(metavar="ENTRY_ID", help="The entry's id, from `entries --json`.")]


def entry(tenant_id: TenantId, entry_id: EntryId, json: Json = False) -> None:
    """Show one entry."""
    with opened_queries() as queries:
        found = queries.entry(tenant_id, entry_id)
    (print_json if json else print_fields)(found)


def explain(tenant_id: TenantId, entry_id: EntryId, json: Json = False) -> None:
    """Explain an entry: its command, its rule and limit, and the lots that it took from or created."""
    with opened_queries() as queries:
        found = queries.explain_entry(tenant_id, entry_id)
    if json:
        print_json(asdict(found))
        return
    print_lines(found.sentences)


def expiring(
    tenant_id: TenantId,
    user_id: UserId,
    days: Annotated[
        int,
        typer.Option(
            "--days",
            metavar="N",
            min=1,
            max=MOST_DAYS,
            help="Days of the tenant's calendar.",
        ),
    ] = DAYS,
    json: Json = False,
) -> None:
    """List the lots that expire within --days, without frozen points."""
    with opened_queries() as queries:
        found = queries.expiring(tenant_id, user_id, days)
    if json:
        print_json(found.as_json())
        return
    columns = ("expires_at", "points", "earned_at", "id")
    print_rows(columns, found.lots)
    note(f"{found.points:,} points in {found.lots_in_all:,} lots expire by {found.as_json()['until']}.")
    if found.points != found.recorded_points:
        note(f"Recorded are {found.recorded_points:,}: some points have come due since then.", "yellow")
    if not found.expire_enabled:
        note("Expiry is switched off for this tenant, so nothing expires.", "yellow")
    if found.expiry_exempt:
        note("The account is exempt, so nothing expires.", "yellow")
    if found.expires_not_before:
        note(f"Nothing expires before {found.expires_not_before}.", "yellow")


def value(tenant_id: TenantId, user_id: UserId, json: Json = False) -> None:
    """Show the cash value of a user's available points. Only for cash_equivalent points."""
    with opened_queries() as queries:
        found = asdict(queries.value(tenant_id, user_id))
    if json:
        print_json(found)
        return
    print_fields(unless_recorded(found))


def stats(
    tenant_id: TenantId,
    user_id: Annotated[
        str | None,
        typer.Argument(metavar="[USER]", parser=entity_id, help="Default: the whole tenant."),
    ] = None,
    months: Annotated[
        int,
        typer.Option("--months", metavar="N", min=1, max=MOST_MONTHS, help="Months to go back, for a user."),
    ] = MONTHS,
    json: Json = False,
) -> None:
    """Show statistics of a user or a tenant.

    For a user: points by month (of the event) and by rule. For a tenant: accounts, outstanding points,
    totals, and what was recorded this month.
    """
    with opened_queries() as queries:
        if user_id is None:
            found = queries.tenant_statistics(tenant_id)
        else:
            found = queries.user_statistics(tenant_id, user_id, months)
    if json:
        print_json(found)
        return
    fields = {name: figures for name, figures in found.items() if not isinstance(figures, list)}
    print_fields(unless_recorded(fields.pop("account", None) or fields))
    for name in ("by_month", "this_month", "by_rule"):
        print_figures(name, found.get(name))


def print_figures(name: str, figures: list[dict[str, Any]] | None) -> None:
    """Print a table of statistics, if there are any."""
    if figures:
        print_rows(tuple(figures[0]), figures, name.replace("_", " "))


def limits(tenant_id: TenantId, json: Json = False) -> None:
    """Show current usage of the limits that all users of a tenant share, of scope `rule` and `tenant`.

    With --json, print one limit per line.
    """
    with opened_queries() as queries:
        found = [asdict(limit) for limit in queries.shared_limits(tenant_id)]
    if json:
        for limit in found:
            print_json(limit)
        return
    columns = ("rule", "enabled", "scope", "period", "unit", "starts_on", "max", "used", "left")
    print_rows(columns, found)


def export(tenant_id: TenantId, user_id: UserId, json: Json = False) -> None:
    """Print all data about a user as one JSON object: account, lots, entries, commands and outcomes.

    This reads the whole journal, so it can take long.
    """
    with opened_queries() as queries:
        print_json(queries.export_user(tenant_id, user_id))
