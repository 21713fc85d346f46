"""Commands for one ledger command: `enqueue`, `outcome`, `cancel`."""

from typing import Annotated, Any

import typer

from pointledger.cli.arguments import Wait
from pointledger.cli.input import ReasonOption, actor, parse, read_document
from pointledger.cli.output import DONE, FAILED, PENDING, Json, note, print_fields, print_json
from pointledger.cli.session import opened_client, opened_settings
from pointledger.client.client import PointsClient
from pointledger.domain.commands import KINDS, AnyCommand, command_from
from pointledger.domain.commands.outcomes import Outcome
from pointledger.domain.values.actor import check_actor
from pointledger.errors import InvalidCommand, WaitTimedOut


def enqueue(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"The command's kind: {', '.join(KINDS)}.")],
    fields: Annotated[
        str, typer.Argument(metavar="JSON|-", help="The command's fields as a JSON object; - reads stdin.")
    ],
    wait: Wait = None,
    json: Json = False,
) -> None:
    """Enqueue one command. It is durable when this returns, and a worker applies it soon after.

    Prints the task id. `pointledger outcome` looks up the outcome by this id. Enqueueing the command again
    with the same id or idempotency_key has no effect.

    Example: pointledger enqueue earn '{"tenant_id": "shop", "user_id": "anna", "amount": 100}' --wait 5
    """
    command = _command(kind, fields)
    with opened_settings() as settings, opened_client(settings) as client:
        task_id = client.enqueue(command)
        if wait is None and not json:
            typer.echo(task_id)
            return
        outcome = wait_for_outcome(client, task_id, wait)
    show_outcome(outcome, json)
    raise typer.Exit(DONE if wait is None else status_of(outcome))


def outcome(
    task_id: Annotated[
        str, typer.Argument(metavar="TASK_ID", help="The task id from `enqueue`, or a Celery task's id.")
    ],
    wait: Wait = None,
    json: Json = False,
) -> None:
    """Show a command's outcome: pending, applied, refused with a reason, or dead. Outcomes never expire.

    Exit status: 0 applied; 1 refused, dead or unknown; 3 still pending.
    """
    with opened_settings() as settings, opened_client(settings) as client:
        found = wait_for_outcome(client, task_id, wait)
    show_outcome(found, json)
    raise typer.Exit(status_of(found))


def cancel(
    task_id: Annotated[str, typer.Argument(metavar="TASK_ID", help="The command's task id.")],
    reason: ReasonOption = None,
    json: Json = False,
) -> None:
    """Cancel a pending command. Its outcome becomes refused, with the reason CANCELLED.

    Exit status 1 if the command is no longer pending.
    """
    with opened_settings() as settings, opened_client(settings) as client:
        found = client.cancel(task_id, actor(reason))
    show_outcome(found, json)


def _command(kind: str, fields: str) -> AnyCommand:
    try:
        given = read_document(fields) if fields == "-" else parse(fields)
        check_actor(given.get("actor") if isinstance(given, dict) else None)
    except ValueError as error:
        raise InvalidCommand(str(error)) from None
    if not isinstance(given, dict):
        raise InvalidCommand("the fields must be one JSON object")
    return command_from(kind, given)


def wait_for_outcome(client: PointsClient, task_id: str, wait: float | None) -> Outcome:
    """Return the outcome, after waiting up to `wait` seconds."""
    if wait:
        try:
            return client.wait(task_id, timeout=wait)
        except WaitTimedOut:
            pass  # the outcome's state is pending
    return client.outcome(task_id)


def status_of(found: Outcome) -> int:
    """Return the exit status for an outcome."""
    return {"applied": DONE, "pending": PENDING}.get(found.state, FAILED)


def show_outcome(found: Outcome, json: bool) -> None:
    """Print an outcome for people or programs."""
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
        note("No command has this id. It may still be in a Celery queue.", "yellow")
    if found.state == "pending":
        note("The command is pending. If it stays so, check that workers and beat are running.", "yellow")
