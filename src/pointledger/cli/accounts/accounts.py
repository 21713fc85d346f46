"""What users have: `account`, `accounts`, `entries`."""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any

import typer

from pointledger.cli.arguments import TenantId, UserId
from pointledger.cli.input import moment
from pointledger.cli.output import Json, note, print_fields, print_json, print_table, unless_recorded
from pointledger.cli.session import looking_up
from pointledger.client.queries.ledger import Lookups
from pointledger.storage.queries.rows import PAGE

_ROWS_FOR_PEOPLE = 50  # a screen or two


class EntryType(StrEnum):
    """The seven values that the API knows."""

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
        help="As it had been recorded by then, like 2026-03-01T00:00:00Z; now, if not given.",
    ),
]


def account(tenant_id: TenantId, user_id: UserId, as_of: AsOf = None, json: Json = False) -> None:
    """Show one user's points, as they are now: what is available, frozen, earned, spent and expired. What is
    recorded is shown beside, where it differs; with --json, always.

    With --as-of: as the ledger had it at a past moment, by when entries were recorded (created_at), not by
    when things happened. The status of then is not known, and shown as null.
    """
    with looking_up() as lookups:
        found = lookups.account(tenant_id, user_id, as_of)
    if json:
        print_json(found)
        return
    print_fields(unless_recorded(found))


def accounts(tenant_id: TenantId, json: Json = False) -> None:
    """List a tenant's accounts by user id, each as it is at its `as_of`: all of them with --json, one a line;
    the first few for people."""
    with looking_up() as lookups:
        pages = _accounts(lookups, tenant_id)
        if json:
            for found in pages:
                print_json(found)
            return
        shown = list(islice(pages, _ROWS_FOR_PEOPLE + 1))
    columns = (
        "user_id",
        "status",
        "balance",
        "frozen_balance",
        "total_earned",
        "total_spent",
        "expired_points",
    )
    _print_some(columns, shown)
    if any(name.startswith("recorded_") for line in shown for name in unless_recorded(line)):
        note("Of some, something has come due that is not recorded yet. --json shows both.", "dim")


def entries(
    tenant_id: TenantId,
    user_id: UserId,
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
    entry_type: Annotated[
        EntryType | None, typer.Option("--type", metavar="TYPE", help=f"One of {', '.join(EntryType)}.")
    ] = None,
    json: Json = False,
) -> None:
    """List what happened to a user's points, the newest first; with --json one entry a line.

    Pages: give the seq of the last line to --before. What is written meanwhile changes no page.
    """
    with looking_up() as lookups:
        most = limit or (None if json else _ROWS_FOR_PEOPLE)
        kind = entry_type.value if entry_type else None
        total, found = _entries(lookups, tenant_id, user_id, before, kind, most)
        if json:
            for each in found:
                print_json(each)
            return
        shown = list(found)
    columns = ("seq", "type", "subtype", "delta", "balance_after", "occurred_at", "expires_at", "command_id")
    print_table(columns, [[line[column] for column in columns] for line in shown])
    if shown and shown[-1]["seq"] > 1:
        note(f"{total:,} entries in all. Older ones: --before {shown[-1]['seq']}", "dim")


def _accounts(lookups: Lookups, tenant_id: str) -> Iterator[dict[str, Any]]:
    after = ""
    while page := lookups.accounts(tenant_id, after):
        yield from page
        after = page[-1]["user_id"]


def _entries(
    lookups: Lookups, tenant_id: str, user_id: str, before: int | None, kind: str | None, most: int | None
) -> tuple[int, Iterator[dict[str, Any]]]:
    """How many entries there are in all, and those asked for, page after page."""
    first = lookups.entries(tenant_id, user_id, before=before, type=kind, limit=min(most or PAGE, PAGE))

    def pages() -> Iterator[dict[str, Any]]:
        page = first
        yield from page.entries
        while page.next_before:
            page = lookups.entries(tenant_id, user_id, before=page.next_before, type=kind)
            yield from page.entries

    return first.total, islice(pages(), most)


def _print_some(columns: tuple[str, ...], lines: list[dict[str, Any]]) -> None:
    print_table(columns, [[line[column] for column in columns] for line in lines[:_ROWS_FOR_PEOPLE]])
    if len(lines) > _ROWS_FOR_PEOPLE:
        note("... and more. --json shows all of them.", "dim")
