"""What users have in money: `wallet show|entries`."""

from enum import StrEnum
from typing import Annotated

import typer

from pointledger.cli.arguments import TenantId, UserId
from pointledger.cli.output import Json, note, print_fields, print_json, print_table
from pointledger.cli.session import looking_up
from pointledger.client.queries.wallets import MOST_WALLET_ENTRIES

wallet_app = typer.Typer(no_args_is_help=True)


class WalletEntryType(StrEnum):
    """What an entry on a wallet can be."""

    DEPOSIT = "deposit"
    WITHDRAW = "withdraw"
    EXCHANGE = "exchange"


@wallet_app.command("show")
def show_wallet(tenant_id: TenantId, user_id: UserId, json: Json = False) -> None:
    """Show a user's money: all of it, what of it is frozen, and where it came from."""
    with looking_up() as lookups:
        found = lookups.wallet(tenant_id, user_id)
    (print_json if json else print_fields)(found)


@wallet_app.command("entries")
def wallet_entries(
    tenant_id: TenantId,
    user_id: UserId,
    limit: Annotated[
        int,
        typer.Option("--limit", metavar="N", min=1, max=MOST_WALLET_ENTRIES, help="So many at most."),
    ] = 50,
    before: Annotated[
        int | None,
        typer.Option("--before", metavar="SEQ", min=1, help="Only those below this seq: the next page."),
    ] = None,
    entry_type: Annotated[
        WalletEntryType | None,
        typer.Option("--type", metavar="TYPE", help=f"One of {', '.join(WalletEntryType)}."),
    ] = None,
    json: Json = False,
) -> None:
    """List what happened to a user's money, the newest first; with --json one entry a line."""
    with looking_up() as lookups:
        kind = entry_type.value if entry_type else None
        page = lookups.wallet_entries(tenant_id, user_id, before=before, type=kind, limit=limit)
    if json:
        for entry in page.entries:
            print_json(entry)
        return
    columns = ("seq", "type", "delta", "currency", "balance_after", "actor", "reason", "created_at")
    print_table(columns, [[entry[column] for column in columns] for entry in page.entries])
    if page.next_before:
        note(f"{page.total:,} entries in all. Older ones: --before {page.next_before}", "dim")
