"""Commands for dead letters, messages that are not commands: `dead-letters list|show|replay`."""

from base64 import b64encode
from typing import Annotated, Any

import typer

from pointledger.cli.operations.processes import opened_celery_commands, opened_ingest
from pointledger.cli.output import Json, note, print_fields, print_json, print_rows
from pointledger.cli.session import opened_settings, reading
from pointledger.client.queries.results import iso
from pointledger.errors import DeadLetterMissing
from pointledger.ids import show_id
from pointledger.integrations import celery_commands
from pointledger.storage.queue import dead_letters
from pointledger.storage.queue.dead_letters import DeadLetter

_MOST = 1000  # if there are more, they have a common cause

DeadLetterId = Annotated[int, typer.Argument(metavar="ID", help="The dead letter's number.", min=1)]

dead_letters_app = typer.Typer(no_args_is_help=True)


@dead_letters_app.command("list")
def list_dead_letters(
    state: Annotated[
        str | None,
        typer.Option("--state", metavar="STATE", help="Only this state: dead, deferred or replayed."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=_MOST, help="At most N messages.")
    ] = 100,
    json: Json = False,
) -> None:
    """List messages that are not commands, newest first. With --json, print one per line."""
    with reading() as connection:
        found = dead_letters.find(connection, state=state, limit=limit)
    if json:
        for dead_letter in found:
            print_json(_as_json(dead_letter))
        return
    if not found:
        note("No dead letters.", "green")
        return
    columns = (
        "dead_letter",
        "state",
        "entry_point",
        "producer",
        "reason",
        "attempts",
        "last_seen_at",
        "error",
    )
    print_rows(columns, [_as_json(dead_letter) for dead_letter in found])


@dead_letters_app.command("show")
def show_dead_letter(dead_letter_id: DeadLetterId, json: Json = False) -> None:
    """Show a dead letter as it was received: its bytes in base64, its headers and its error."""
    with reading() as connection:
        found = dead_letters.find(connection, dead_letter_id=dead_letter_id, limit=1)
    if not found:
        raise DeadLetterMissing(str(dead_letter_id))
    (print_json if json else print_fields)(_as_json(found[0]))


@dead_letters_app.command("replay")
def replay_dead_letter(dead_letter_id: DeadLetterId, json: Json = False) -> None:
    """Turn a dead letter into commands after you have fixed the cause. They keep their ids and keys."""
    with reading() as connection:
        found = dead_letters.find(connection, dead_letter_id=dead_letter_id, limit=1)
    if found and found[0].entry_point == celery_commands.ENTRY_POINT:
        with opened_celery_commands() as commands:
            task_ids = commands.replay(found[0])
    else:
        with opened_settings() as settings, opened_ingest(settings) as ingest:
            task_ids = ingest.replay(dead_letter_id)
    (print_json if json else print_fields)({"dead_letter": dead_letter_id, "task_ids": task_ids})


def _as_json(dead_letter: DeadLetter) -> dict[str, Any]:
    times = {name: getattr(dead_letter, name) for name in ("received_at", "last_seen_at", "deferred_until")}
    return {
        "dead_letter": dead_letter.id,
        "state": dead_letter.state,
        "entry_point": dead_letter.entry_point,
        "producer": dead_letter.producer,
        "reason": dead_letter.reason,
        "error": dead_letter.error,
        "attempts": dead_letter.attempts,
        **{name: at and iso(at) for name, at in times.items()},
        "task_id": dead_letter.task_id and show_id(dead_letter.task_id),
        "tenant_id": dead_letter.tenant_id,
        "kind": dead_letter.kind,
        "headers": dead_letter.headers,
        "raw": b64encode(dead_letter.raw).decode(),
    }
