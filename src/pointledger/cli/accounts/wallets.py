"""Commands that show users' money: `wallet show|entries`."""

from enum import StrEnum
from typing import Annotated

import typer

from pointledger.cli.arguments import Before, TenantId, UserId
from pointledger.cli.output import Json, note, print_fields, print_json, print_rows
from pointledger.cli.session import opened_queries
from pointledger.client.queries.wallets import MOST_WALLET_ENTRIES

wallet_app = typer.Typer(no_args_is_help=True)


class WalletEntryType(StrEnum):
    """The types of wallet entries."""

    DEPOSIT = "deposit"
    WITHDRAW = "withdraw"
    EXCHANGE = "exchange"


@wallet_app.command("show")
def show_wallet(tenant_id: TenantId, user_id: UserId, json: Json = False) -> None:
    """Show a user's money: the balance, the frozen part, and totals by type."""
    with opened_queries() as queries:
        found = queries.wallet(tenant_id, user_id)
    (print_json if json else print_fields)(found)


@wallet_app.command("entries")
def wallet_entries(
    tenant_id: TenantId,
    user_id: UserId,
    limit: Annotated[
        int,
        typer.Option("--limit", metavar="N", min=1, max=MOST_WALLET_ENTRIES, help="At most N rows."),
    ] = 50,
    before: Before = None,
    entry_type: Annotated[
        WalletEntryType | None,
        typer.Option("--type", metavar="TYPE", help=f"Only this type: {', '.join(WalletEntryType)}."),
    ] = None,
    json: Json = False,
) -> None:
    """List the entries of a user's wallet, newest first. With --json, print one per line."""
    with opened_queries() as queries:
        kind = entry_type.value if entry_type else None
        page = queries.wallet_entries(tenant_id, user_id, before=before, type=kind, limit=limit)
    if json:
        for entry in page.entries:
            print_json(entry)
        return
    columns = ("seq", "type", "delta", "currency", "balance_after", "actor", "reason", "created_at")
    print_rows(columns, page.entries)
    if page.next_before:
        note(f"{page.total:,} entries in total. For older ones: --before {page.next_before}", "dim")
