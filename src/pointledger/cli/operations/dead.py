"""What could not be: dead commands, which the machine could not apply (`dead list|show|retry`), and letters,
which were no commands (`dead letters|letter|replay`)."""

from datetime import datetime
from typing import Annotated, Any

import sqlalchemy as sa
import typer

from pointledger.cli.input import Why, by, entity_id, moment
from pointledger.cli.output import Json, note, print_fields, print_json, print_table
from pointledger.cli.session import opened_client, opened_database, opened_settings, reading
from pointledger.domain.values.actor import By
from pointledger.errors import InvalidCommand, NotDead
from pointledger.ids import parse_id, show_id
from pointledger.settings import Settings
from pointledger.storage.queue import failures
from pointledger.storage.queue.failures import Dead, Which

_MOST = 1000  # more dead than this have one cause


_SHOWN = 20  # of those that are to be retried: enough to see whether they are the right ones


_COLUMNS = ("task_id", "kind", "tenant_id", "user_id", "attempts", "dead_at", "error")


TaskId = Annotated[str, typer.Argument(metavar="TASK_ID", help="The command's task id.")]


Tenant = Annotated[
    str | None, typer.Option("--tenant", metavar="TENANT", parser=entity_id, help="Only this tenant's.")
]


Kind = Annotated[str | None, typer.Option("--kind", metavar="KIND", help="Only of this kind, like earn.")]


ErrorText = Annotated[
    str | None, typer.Option("--error", metavar="TEXT", help="Only those whose error has this text in it.")
]


Since = Annotated[
    datetime | None,
    typer.Option("--since", metavar="TIME", parser=moment, help="Only those that died since then."),
]


dead_app = typer.Typer(no_args_is_help=True)


@dead_app.command("list")
def list_dead(
    tenant: Tenant = None,
    kind: Kind = None,
    error: ErrorText = None,
    since: Since = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=_MOST, help="So many at most.")
    ] = 100,
    json: Json = False,
) -> None:
    """List the commands that could not be applied, the latest first; with --json one a line."""
    with reading() as connection:
        found = failures.dead(connection, Which(tenant, kind, error, since), limit=limit)
    if json:
        for dead in found:
            print_json(_json(dead))
        return
    if not found:
        note("Nothing is dead.", "green")
        return
    _print_dead(found)


def _print_dead(found: list[Dead]) -> None:
    lines = [{**_json(dead), "error": dead.error.partition("\n")[0]} for dead in found]
    print_table(_COLUMNS, [[line[column] for column in _COLUMNS] for line in lines])


@dead_app.command("show")
def show_dead(task_id: TaskId, json: Json = False) -> None:
    """Show a dead command: its fields, and the error it died of."""
    with reading() as connection:
        found = _dead(connection, task_id)
    (print_json if json else print_fields)(_json(found))


@dead_app.command("retry")
def retry_dead(
    task_id: Annotated[
        str | None, typer.Argument(metavar="[TASK_ID]", help="The command's task id; or say which below.")
    ] = None,
    tenant: Tenant = None,
    kind: Kind = None,
    error: ErrorText = None,
    since: Since = None,
    every: Annotated[bool, typer.Option("--all", help="Every dead command there is.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show which they are.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reason: Why = None,
    json: Json = False,
) -> None:
    """Let dead commands try again, once their cause is put right: one by its id, or all that are meant by
    tenant, kind, error and time, after a look at them. They go to the end of their users' queues, in the
    order in which they were accepted. Each retry is kept as an act."""
    which = Which(tenant, kind, error, since)
    if (task_id is None) == (which == Which() and not every):
        raise typer.BadParameter("give a task id, or say which: --tenant, --kind, --error, --since, or --all")
    with opened_settings() as settings:
        if task_id is None:
            _retry_all(settings, which, by(reason), dry_run=dry_run, ask=not yes, json=json)
            return
        with opened_client(settings) as client:
            shown = {"task_id": client.retry(task_id, by(reason)), "state": "pending"}
    (print_json if json else print_fields)(shown)


def _retry_all(settings: Settings, which: Which, who: By, *, dry_run: bool, ask: bool, json: bool) -> None:
    """Shows what is meant, asks, and retries it."""
    with opened_database(settings) as database, database.connect() as connection:
        matching, some = (
            failures.count_dead(connection, which),
            failures.dead(connection, which, limit=_SHOWN),
        )
    if not json:
        _print_dead(some)
        note(f"{matching:,} dead commands are meant; the latest are shown.")
    retried = 0
    if matching and not dry_run:
        if ask:
            typer.confirm(f"Let {matching:,} commands try again?", abort=True, err=True)
        with opened_client(settings) as client:
            retried = sum(len(piece) for piece in client.retry_all(which, who))
    (print_json if json else print_fields)({"matching": matching, "retried": retried})


def _dead(connection: sa.Connection, task_id: str) -> Dead:
    try:
        command_id = parse_id(task_id)
    except ValueError as error:
        raise InvalidCommand(f"task_id: {error}") from None
    found = failures.dead(connection, command_id=command_id, limit=1)
    if not found:
        raise NotDead(task_id)
    return found[0]


def _json(dead: Dead) -> dict[str, Any]:
    return {
        "task_id": show_id(dead.id),
        "tenant_id": dead.tenant_id,
        "user_id": dead.user_id,
        "kind": dead.kind,
        "attempts": dead.attempts,
        "accepted_at": dead.accepted_at.isoformat().replace("+00:00", "Z"),
        "dead_at": dead.dead_at.isoformat().replace("+00:00", "Z"),
        "error": dead.error,
        "payload": dead.payload,
        "extensions": dead.extensions,
    }
