"""Commands that show accounts and entries: `account`, `accounts`, `entries`."""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any

import typer

from pointledger.cli.arguments import ROWS_FOR_PEOPLE, Before, Limit, TenantId, UserId
from pointledger.cli.input import moment
from pointledger.cli.output import Json, note, print_fields, print_json, print_rows, unless_recorded
from pointledger.cli.session import opened_queries
from pointledger.client.queries.ledger import LedgerQueries
from pointledger.storage.queries.rows import PAGE


class EntryType(StrEnum):
    """The types of entries."""

    EARN = "earn"
    SPEND = "spend"
    EXPIRE = "expire"
    FREEZE = "freeze"
    UNFREEZE = "unfreeze"
    REFUND = "refund"
    ADJUST = "adjust"


AsOf = Annotated[
    datetime | None,
    typer.Option(
        "--as-of",
        parser=moment,
        metavar="TIME",
        help="As recorded at this time, for example 2026-03-01T00:00:00Z. Default: now.",
    ),
]


def account(tenant_id: TenantId, user_id: UserId, as_of: AsOf = None, json: Json = False) -> None:
    """Show a user's current points: available, frozen, earned, spent and expired.

    Recorded figures are shown if they differ, and always with --json.

    With --as-of, show the account as recorded at a past time. That goes by created_at, the time when entries
    were recorded, not by when events happened. The ledger does not know the past status and shows null.
    """
    with opened_queries() as queries:
        found = queries.account(tenant_id, user_id, as_of)
    if json:
        print_json(found)
        return
    print_fields(unless_recorded(found))


def accounts(tenant_id: TenantId, json: Json = False) -> None:
    """List a tenant's accounts by user id.

    With --json, print all, one per line. Otherwise, print the first 50.
    """
    with opened_queries() as queries:
        pages = _accounts(queries, tenant_id)
        if json:
            for found in pages:
                print_json(found)
            return
        shown = list(islice(pages, ROWS_FOR_PEOPLE + 1))
    columns = (
        "user_id",
        "status",
        "balance",
        "frozen_balance",
        "total_earned",
        "total_spent",
        "expired_points",
    )
    _print_first(columns, shown)
    if any(name.startswith("recorded_") for row in shown for name in unless_recorded(row)):
        note("Some accounts have points due that are not recorded yet. --json shows both figures.", "dim")


def entries(
    tenant_id: TenantId,
    user_id: UserId,
    limit: Limit = None,
    before: Before = None,
    entry_type: Annotated[
        EntryType | None,
        typer.Option("--type", metavar="TYPE", help=f"Only this type: {', '.join(EntryType)}."),
    ] = None,
    json: Json = False,
) -> None:
    """List a user's entries, newest first. With --json, print one per line.

    For the next page, pass the seq of the last entry to --before. New entries do not change the pages.
    """
    with opened_queries() as queries:
        limit = limit or (None if json else ROWS_FOR_PEOPLE)
        kind = entry_type.value if entry_type else None
        total, found = _entries(queries, tenant_id, user_id, before, kind, limit)
        if json:
            for each in found:
                print_json(each)
            return
        shown = list(found)
    columns = ("seq", "type", "subtype", "delta", "balance_after", "occurred_at", "expires_at", "command_id")
    print_rows(columns, shown)
    if shown and shown[-1]["seq"] > 1:
        note(f"{total:,} entries in total. For older ones: --before {shown[-1]['seq']}", "dim")


def _accounts(queries: LedgerQueries, tenant_id: str) -> Iterator[dict[str, Any]]:
    after = ""
    while page := queries.accounts(tenant_id, after):
        yield from page
        after = page[-1]["user_id"]


def _entries(
    queries: LedgerQueries,
    tenant_id: str,
    user_id: str,
    before: int | None,
    kind: str | None,
    limit: int | None,
) -> tuple[int, Iterator[dict[str, Any]]]:
    """Return the total number of entries, and an iterator over the requested ones."""
    first = queries.entries(tenant_id, user_id, before=before, type=kind, limit=min(limit or PAGE, PAGE))

    def pages() -> Iterator[dict[str, Any]]:
        page = first
        yield from page.entries
        while page.next_before:
            page = queries.entries(tenant_id, user_id, before=page.next_before, type=kind)
            yield from page.entries

    return first.total, islice(pages(), limit)


def _print_first(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    print_rows(columns, rows[:ROWS_FOR_PEOPLE])
    if len(rows) > ROWS_FOR_PEOPLE:
        note("There are more. --json prints all of them.", "dim")
