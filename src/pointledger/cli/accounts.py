"""What users have: `account`, `accounts`, `entries`."""

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any

import sqlalchemy as sa
import typer

from pointledger.cli.opening import reading
from pointledger.cli.output import Json, note, print_fields, print_json, print_table
from pointledger.cli.programmes import TenantId
from pointledger.cli.reading import entity_id
from pointledger.errors import LedgerError
from pointledger.storage import programmes, queries

_ROWS_FOR_PEOPLE = 50  # a screen or two

UserId = Annotated[
    str, typer.Argument(metavar="USER", parser=entity_id, help="The user's id in this tenant.")
]


class AccountMissing(LedgerError, LookupError):
    """This user has no account yet; the first points that are granted make it. Check the spelling of the
    tenant and the user."""


def account(tenant_id: TenantId, user_id: UserId, json: Json = False) -> None:
    """Show one user's points: what is available, frozen, earned, spent and expired."""
    with reading() as connection:
        found = _account(connection, tenant_id, user_id)
    (print_json if json else print_fields)(found)


def accounts(tenant_id: TenantId, json: Json = False) -> None:
    """List a tenant's accounts by user id: all of them with --json, one a line; the first few for people."""
    with reading() as connection:
        programmes.tenant(connection, tenant_id)
        pages = _accounts(connection, tenant_id)
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
    json: Json = False,
) -> None:
    """List what happened to a user's points, the newest first; with --json one entry a line."""
    with reading() as connection:
        _account(connection, tenant_id, user_id)
        pages = islice(_entries(connection, tenant_id, user_id), limit)
        if json:
            for found in pages:
                print_json(found)
            return
        shown = list(pages if limit else islice(pages, _ROWS_FOR_PEOPLE + 1))
    columns = ("seq", "type", "subtype", "delta", "balance_after", "occurred_at", "expires_at", "command_id")
    _print_some(columns, shown, limit or _ROWS_FOR_PEOPLE)


def _account(connection: sa.Connection, tenant_id: str, user_id: str) -> dict[str, Any]:
    programmes.tenant(connection, tenant_id)
    found = queries.account(connection, tenant_id, user_id)
    if found is None:
        raise AccountMissing(f"{user_id} of {tenant_id}")
    return found


def _accounts(connection: sa.Connection, tenant_id: str) -> Iterator[dict[str, Any]]:
    after = ""
    while page := queries.accounts(connection, tenant_id, after):
        yield from page
        after = page[-1]["user_id"]


def _entries(connection: sa.Connection, tenant_id: str, user_id: str) -> Iterator[dict[str, Any]]:
    before: int | None = None
    while page := queries.entries(connection, tenant_id, user_id, before):
        yield from page
        before = page[-1]["seq"]
        if before == 1:  # the first of all
            return


def _print_some(columns: tuple[str, ...], lines: list[dict[str, Any]], most: int = _ROWS_FOR_PEOPLE) -> None:
    print_table(columns, [[line[column] for column in columns] for line in lines[:most]])
    if len(lines) > most:
        note("... and more. --json shows all of them.", "dim")
