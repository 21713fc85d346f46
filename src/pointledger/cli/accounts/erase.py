"""Erasing a user: `erase`, and `sweep erasures`, which searches for what else names the person."""

from typing import Annotated

import typer

from pointledger.cli.arguments import TenantId, UserId, Wait
from pointledger.cli.commands.enqueue import show_outcome, status_of, waited_for
from pointledger.cli.input import entity_id
from pointledger.cli.output import DONE, Json
from pointledger.cli.session import opened_client, opened_settings
from pointledger.domain.commands import EraseUser


def erase(
    tenant_id: TenantId,
    user_id: UserId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    actor: Annotated[
        str, typer.Option("--actor", metavar="ACTOR", parser=entity_id, help="Who asks for it.")
    ] = "admin",
    wait: Wait = None,
    json: Json = False,
) -> None:
    """Erase a user for ever: a pseudonym takes the user's place, texts and keys go, points are forfeited.
    Every sum stays. Later commands for the user are refused with ACCOUNT_ERASED.

    Refused with OPEN_HOLDS while points are held. The journal is searched for the user within a minute or so
    after this is applied; erasing once more searches again. The workers need POINTLEDGER_ERASURE_KEY.
    """
    command = EraseUser(tenant_id=tenant_id, user_id=user_id, actor=actor)
    if not yes:
        typer.confirm(f"Erase {user_id} of {tenant_id}? Nothing brings it back.", abort=True, err=True)
    with opened_settings() as settings, opened_client(settings) as client:
        found = waited_for(client, client.enqueue(command), wait)
    show_outcome(found, json)
    raise typer.Exit(DONE if wait is None else status_of(found))
