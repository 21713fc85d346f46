"""Commands for dead letters: messages that are no command."""

from base64 import b64encode
from typing import Annotated, Any

import typer

from pointledger.cli.operations.dead import _MOST, dead_app
from pointledger.cli.operations.processes import opened_by_name, opened_intake
from pointledger.cli.output import Json, note, print_fields, print_json, print_table
from pointledger.cli.session import reading
from pointledger.errors import LetterMissing
from pointledger.ids import show_id
from pointledger.integrations import celery_commands
from pointledger.storage.queue import dead_letters
from pointledger.storage.queue.dead_letters import Letter

LetterId = Annotated[int, typer.Argument(metavar="LETTER", help="The letter's number.", min=1)]


@dead_app.command("letters")
def list_letters(
    state: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help="Only those: dead, held or replayed.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=_MOST, help="So many at most.")
    ] = 100,
    json: Json = False,
) -> None:
    """List what came and was no command, the latest first; with --json one a line."""
    with reading() as connection:
        found = dead_letters.letters(connection, state=state, limit=limit)
    if json:
        for letter in found:
            print_json(_letter_json(letter))
        return
    if not found:
        note("No letters.", "green")
        return
    columns = ("letter", "state", "door", "producer", "reason", "attempts", "last_seen_at", "error")
    shown = [_letter_json(letter) for letter in found]
    print_table(columns, [[line[column] for column in columns] for line in shown])


@dead_app.command("letter")
def show_letter(letter_id: LetterId, json: Json = False) -> None:
    """Show a letter as it came: its bytes in base64, its headers, and what was wrong with it."""
    with reading() as connection:
        found = dead_letters.letters(connection, letter_id=letter_id, limit=1)
    if not found:
        raise LetterMissing(str(letter_id))
    (print_json if json else print_fields)(_letter_json(found[0]))


@dead_app.command("replay")
def replay_letter(letter_id: LetterId, json: Json = False) -> None:
    """Make commands of a letter, once its cause is put right. They keep their ids and keys."""
    with reading() as connection:
        found = dead_letters.letters(connection, letter_id=letter_id, limit=1)
    if found and found[0].door == celery_commands.DOOR:
        with opened_by_name() as taker:
            task_ids = taker.replay(found[0])
    else:
        with opened_intake() as (_, events):
            task_ids = events.replay(letter_id)
    (print_json if json else print_fields)({"letter": letter_id, "task_ids": task_ids})


def _letter_json(letter: Letter) -> dict[str, Any]:
    moments = {name: getattr(letter, name) for name in ("received_at", "last_seen_at", "held_until")}
    return {
        "letter": letter.id,
        "state": letter.state,
        "door": letter.door,
        "producer": letter.producer,
        "reason": letter.reason,
        "error": letter.error,
        "attempts": letter.attempts,
        **{name: at and at.isoformat().replace("+00:00", "Z") for name, at in moments.items()},
        "task_id": letter.task_id and show_id(letter.task_id),
        "tenant_id": letter.tenant_id,
        "kind": letter.kind,
        "headers": letter.headers,
        "raw": b64encode(letter.raw).decode(),
    }
