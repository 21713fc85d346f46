"""One command: `enqueue` it, ask for its `outcome`, `cancel` it while it waits."""

from typing import Annotated, Any

import typer

from pointledger.cli.arguments import Wait
from pointledger.cli.input import Why, by, parse, read_document
from pointledger.cli.output import DONE, FAILED, PENDING, Json, note, print_fields, print_json
from pointledger.cli.session import opened_client, opened_settings
from pointledger.client.client import PointsClient
from pointledger.domain.commands import KINDS, AnyCommand, command_from
from pointledger.domain.commands.outcomes import Outcome
from pointledger.errors import InvalidCommand, WaitTimedOut


def enqueue(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"What to do: {', '.join(KINDS)}.")],
    fields: Annotated[
        str, typer.Argument(metavar="JSON|-", help="The command's fields as a JSON object; - reads stdin.")
    ],
    wait: Wait = None,
    json: Json = False,
) -> None:
    """Accept one command. It is durable when this returns, and applied soon after.

    Prints the task id, by which `pointledger outcome` finds what came of it. Sending it again with the
    same id or idempotency_key changes nothing.

    Example: pointledger enqueue earn '{"tenant_id": "shop", "user_id": "anna", "amount": 100}' --wait 5
    """
    command = _command(kind, fields)
    with opened_settings() as settings, opened_client(settings) as client:
        task_id = client.enqueue(command)
        if wait is None and not json:
            typer.echo(task_id)
            return
        outcome = waited_for(client, task_id, wait)
    show_outcome(outcome, json)
    raise typer.Exit(DONE if wait is None else status_of(outcome))


def outcome(
    task_id: Annotated[
        str, typer.Argument(metavar="TASK_ID", help="What `enqueue` printed, or a Celery task's id.")
    ],
    wait: Wait = None,
    json: Json = False,
) -> None:
    """Show what came of a command: pending, applied, refused (and why) or dead. Kept for ever.

    Exit status 0: applied; 1: refused, dead, or no such command; 3: still pending.
    """
    with opened_settings() as settings, opened_client(settings) as client:
        found = waited_for(client, task_id, wait)
    show_outcome(found, json)
    raise typer.Exit(status_of(found))


def cancel(
    task_id: Annotated[str, typer.Argument(metavar="TASK_ID", help="The command's task id.")],
    reason: Why = None,
    json: Json = False,
) -> None:
    """Withdraw a command that still waits; its outcome is then refused, with the reason CANCELLED.

    Exit status 1 when it is too late: it does not wait any more.
    """
    with opened_settings() as settings, opened_client(settings) as client:
        found = client.cancel(task_id, by(reason))
    show_outcome(found, json)


def _command(kind: str, fields: str) -> AnyCommand:
    try:
        given = read_document(fields) if fields == "-" else parse(fields)
    except ValueError as error:
        raise InvalidCommand(str(error)) from None
    if not isinstance(given, dict):
        raise InvalidCommand("the fields are one JSON object")
    return command_from(kind, given)


def waited_for(client: PointsClient, task_id: str, wait: float | None) -> Outcome:
    """What has come of it, after so many seconds at most."""
    if wait:
        try:
            return client.wait(task_id, timeout=wait)
        except WaitTimedOut:
            pass  # the state says it
    return client.outcome(task_id)


def status_of(found: Outcome) -> int:
    """The exit status that tells it."""
    return {"applied": DONE, "pending": PENDING}.get(found.state, FAILED)


def show_outcome(found: Outcome, json: bool) -> None:
    """An outcome for people or programs."""
    if json:
        print_json(found.as_json())
        return
    shown: dict[str, Any] = {
        name: value for name, value in found.as_json().items() if value is not None and name != "data"
    }
    data = dict(found.data or {})
    account = data.pop("account", None) or {}
    data.pop("transaction", None)  # the first of `transactions`
    transactions = data.pop("transactions", None) or []
    if "balance" in account:
        data["balance"] = account["balance"]
    data |= {"entries": len(transactions)} if transactions else {}
    print_fields(shown | data)
    if found.state == "unknown":
        note("No command has this id; it may still be on its way through a queue.", "yellow")
    if found.state == "pending":
        note("It waits to be applied. If that lasts, check that workers and beat run.", "yellow")
