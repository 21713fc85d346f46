"""Command that erases a user: `erase`."""

from typing import Annotated

import typer

from pointledger.cli.arguments import TenantId, UserId, Wait
from pointledger.cli.commands.enqueue import show_outcome, status_of, wait_for_outcome
from pointledger.cli.input import sender_id
from pointledger.cli.output import DONE, Json
from pointledger.cli.session import opened_client, opened_settings
from pointledger.domain.commands import EraseUser


def erase(
    tenant_id: TenantId,
    user_id: UserId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    actor: Annotated[
        str, typer.Option("--actor", metavar="ACTOR", parser=sender_id, help="The actor, for the audit log.")
    ] = "admin",
    wait: Wait = None,
    json: Json = False,
) -> None:
    """Erase a user permanently.

    A pseudonym replaces the user id, texts and keys are deleted, and the points are forfeited. All sums
    remain. Later commands for the user are refused with ACCOUNT_ERASED.

    The command is refused with OPEN_HOLDS while points are held. About a minute after it is applied, a job
    redacts the user in the journal. Erasing the user again repeats that search. Workers need
    POINTLEDGER_ERASURE_KEY.
    """
    command = EraseUser(tenant_id=tenant_id, user_id=user_id, actor=actor)
    if not yes:
        typer.confirm(f"Erase {user_id} of {tenant_id}? This cannot be undone.", abort=True, err=True)
    with opened_settings() as settings, opened_client(settings) as client:
        found = wait_for_outcome(client, client.enqueue(command), wait)
    show_outcome(found, json)
    raise typer.Exit(DONE if wait is None else status_of(found))
