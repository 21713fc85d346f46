"""Commands for dead commands, whose processing failed for good: `dead list|show|retry`."""

from datetime import datetime
from typing import Annotated, Any

import sqlalchemy as sa
import typer

from pointledger.cli.input import ReasonOption, actor, entity_id, moment
from pointledger.cli.output import Json, note, print_fields, print_json, print_rows
from pointledger.cli.session import opened_client, opened_database, opened_settings, reading
from pointledger.client.queries.results import iso
from pointledger.domain.values.actor import Actor
from pointledger.errors import InvalidCommand, NotDead
from pointledger.ids import parse_id, show_id
from pointledger.settings import Settings
from pointledger.storage.queue import failures
from pointledger.storage.queue.failures import DeadCommand, DeadCommandFilter

_MOST = 1000  # if there are more, they have a common cause
_SHOWN = 20  # before a retry: enough to see whether the filter is right
_COLUMNS = ("task_id", "kind", "tenant_id", "user_id", "attempts", "dead_at", "error")

TaskId = Annotated[str, typer.Argument(metavar="TASK_ID", help="The command's task id.")]
Tenant = Annotated[
    str | None,
    typer.Option("--tenant", metavar="TENANT", parser=entity_id, help="Only commands of this tenant."),
]
Kind = Annotated[str | None, typer.Option("--kind", metavar="KIND", help="Only this kind, for example earn.")]
ErrorText = Annotated[
    str | None, typer.Option("--error", metavar="TEXT", help="Only errors that contain TEXT.")
]
Since = Annotated[
    datetime | None,
    typer.Option(
        "--since", metavar="TIME", parser=moment, help="Only commands that failed for good since TIME."
    ),
]

dead_app = typer.Typer(no_args_is_help=True)


@dead_app.command("list")
def list_dead(
    tenant: Tenant = None,
    kind: Kind = None,
    error: ErrorText = None,
    since: Since = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=_MOST, help="At most N commands.")
    ] = 100,
    json: Json = False,
) -> None:
    """List dead commands, newest first. With --json, print one per line."""
    with reading() as connection:
        found = failures.dead(connection, DeadCommandFilter(tenant, kind, error, since), limit=limit)
    if json:
        for dead in found:
            print_json(_json(dead))
        return
    if not found:
        note("No dead commands.", "green")
        return
    _print_dead(found)


def _print_dead(found: list[DeadCommand]) -> None:
    lines = [{**_json(dead), "error": dead.error.partition("\n")[0]} for dead in found]
    print_rows(_COLUMNS, lines)


@dead_app.command("show")
def show_dead(task_id: TaskId, json: Json = False) -> None:
    """Show a dead command: its fields and its last error."""
    with reading() as connection:
        found = _dead(connection, task_id)
    (print_json if json else print_fields)(_json(found))


@dead_app.command("retry")
def retry_dead(
    task_id: Annotated[str | None, typer.Argument(metavar="[TASK_ID]", help="The command's task id.")] = None,
    tenant: Tenant = None,
    kind: Kind = None,
    error: ErrorText = None,
    since: Since = None,
    every: Annotated[bool, typer.Option("--all", help="All dead commands.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the commands.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    reason: ReasonOption = None,
    json: Json = False,
) -> None:
    """Retry dead commands after you have fixed the cause.

    Give one task id, or select commands by tenant, kind, error and time; the command then lists them and
    asks for confirmation. They go to the end of their users' queues, in the order of their acceptance. The
    audit log records each retry.
    """
    selection = DeadCommandFilter(tenant, kind, error, since)
    if (task_id is None) == (selection == DeadCommandFilter() and not every):
        raise typer.BadParameter("give a task id, or one of --tenant, --kind, --error, --since, --all")
    with opened_settings() as settings:
        if task_id is None:
            _retry_all(settings, selection, actor(reason), dry_run=dry_run, ask=not yes, json=json)
            return
        with opened_client(settings) as client:
            shown = {"task_id": client.retry(task_id, actor(reason)), "state": "pending"}
    (print_json if json else print_fields)(shown)


def _retry_all(
    settings: Settings, selection: DeadCommandFilter, by: Actor, *, dry_run: bool, ask: bool, json: bool
) -> None:
    """Show the selected commands, ask for confirmation, and retry them."""
    with opened_database(settings) as database, database.connect() as connection:
        matching = failures.count_dead(connection, selection)
        newest = failures.dead(connection, selection, limit=_SHOWN)
    if not json:
        _print_dead(newest)
        note(f"{matching:,} dead commands match. The newest are shown.")
    retried = 0
    if matching and not dry_run:
        if ask:
            typer.confirm(f"Retry {matching:,} commands?", abort=True, err=True)
        with opened_client(settings) as client:
            retried = sum(len(chunk) for chunk in client.retry_all(selection, by))
    (print_json if json else print_fields)({"matching": matching, "retried": retried})


def _dead(connection: sa.Connection, task_id: str) -> DeadCommand:
    try:
        command_id = parse_id(task_id)
    except ValueError as error:
        raise InvalidCommand(f"task_id: {error}") from None
    found = failures.dead(connection, command_id=command_id, limit=1)
    if not found:
        raise NotDead(task_id)
    return found[0]


def _json(dead: DeadCommand) -> dict[str, Any]:
    return {
        "task_id": show_id(dead.id),
        "tenant_id": dead.tenant_id,
        "user_id": dead.user_id,
        "kind": dead.kind,
        "attempts": dead.attempts,
        "accepted_at": iso(dead.accepted_at),
        "dead_at": iso(dead.dead_at),
        "error": dead.error,
        "payload": dead.payload,
        "extensions": dead.extensions,
    }
