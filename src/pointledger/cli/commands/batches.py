"""Commands for batches of earns: `batch-earn`, `batch-outcome`."""

from typing import Annotated, Any

import typer

from pointledger.cli.arguments import LinesFile, TenantId, WaitForAll
from pointledger.cli.input import opened_lines, parse
from pointledger.cli.output import BAD_INPUT, DONE, FAILED, PENDING, Json, print_fields, print_json
from pointledger.cli.progress import Tally
from pointledger.cli.session import opened_client, opened_settings
from pointledger.domain.commands.outcomes import INVALID_COMMAND


def batch_earn(
    tenant_id: TenantId,
    file: LinesFile,
    key: Annotated[
        str,
        typer.Option(
            "--key", metavar="KEY", help="The batch's idempotency key. Sending it again has no effect."
        ),
    ],
    wait: WaitForAll = False,
    json: Json = False,
) -> None:
    """Enqueue an earn for each line of a file, all or none.

    A line is {"user_id": "anna", "amount": 50}. It may also have expires_at, occurred_at, reason, source and
    description. An invalid line is refused without affecting the others; `batch-outcome --each` shows which.

    Exit status: 2 if a line was invalid; with --wait, 1 if a command is dead, 3 if some are still pending.
    Refused commands do not change the status.
    """
    with opened_lines(file) as lines:
        rows = [_row(line) for line in lines if line.strip()]
    with opened_settings() as settings, opened_client(settings) as client:
        receipt = client.batch_earn(tenant_id, rows, idempotency_key=key)
        if wait:
            tally = Tally(client)
            tally.add(receipt.task_ids)
            tally.wait(lambda: None)
        found = client.batch_outcome(receipt.batch_id).as_json()
    shown = found | {"new": receipt.new}
    (print_json if json else print_fields)(shown)
    raise typer.Exit(_status(found, wait))


def batch_outcome(
    batch_id: Annotated[str, typer.Argument(metavar="BATCH_ID", help="The batch's id, from `batch-earn`.")],
    each: Annotated[
        bool, typer.Option("--each", help="Print the outcome of each line as JSON, one per line.")
    ] = False,
    json: Json = False,
) -> None:
    """Show a batch's outcomes: how many commands were applied, refused and why, dead, or are pending."""
    with opened_settings() as settings, opened_client(settings) as client:
        if each:
            for outcome in client.batch_outcomes(batch_id):
                print_json(outcome.as_json())
            return
        found = client.batch_outcome(batch_id).as_json()
    (print_json if json else print_fields)(found)
    raise typer.Exit(_status(found, waited=True))


def _row(line: bytes) -> Any:
    """Parse a line. If it is not JSON, return its text, so that only this row is refused."""
    try:
        return parse(line)
    except ValueError:
        return line.decode(errors="replace").rstrip("\n")


def _status(found: dict[str, Any], waited: bool) -> int:
    if INVALID_COMMAND in found["refused"]:
        return BAD_INPUT
    if not waited:
        return DONE
    if found["pending"]:
        return PENDING
    return FAILED if found["dead"] else DONE
