"""Many earns as one: `batch-earn` and `batch-outcome`."""

from typing import Annotated, Any

import typer

from pointledger.cli.arguments import TenantId, WaitForAll
from pointledger.cli.input import opened_lines, parse
from pointledger.cli.output import BAD_INPUT, DONE, FAILED, PENDING, Json, print_fields, print_json
from pointledger.cli.progress import Tally
from pointledger.cli.session import opened_client, opened_settings
from pointledger.domain.commands.outcomes import INVALID_COMMAND


def batch_earn(
    tenant_id: TenantId,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Lines of JSON, plain or gzip; - reads stdin.")],
    key: Annotated[
        str,
        typer.Option(
            "--key", metavar="KEY", help="What this batch is known by: sent again, nothing happens."
        ),
    ],
    wait: WaitForAll = False,
    json: Json = False,
) -> None:
    """Accept an earn for each line of a file, all of them or none.

    A line: {"user_id": "anna", "amount": 50}, and an earn's other fields: expires_at, occurred_at, reason,
    source, description. A line that is none is refused by itself; `batch-outcome --each` tells which.

    Exit status 2: some line was bad; with --wait, 1: some command is dead, 3: some still wait. Refusals
    are counted, they are answers.
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
    batch_id: Annotated[str, typer.Argument(metavar="BATCH_ID", help="What `batch-earn` printed.")],
    each: Annotated[
        bool, typer.Option("--each", help="The outcome of each line, as JSON, a line each.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what came of a batch: how many were applied, refused and why, dead, or still wait."""
    with opened_settings() as settings, opened_client(settings) as client:
        if each:
            for outcome in client.batch_outcomes(batch_id):
                print_json(outcome.as_json())
            return
        found = client.batch_outcome(batch_id).as_json()
    (print_json if json else print_fields)(found)
    raise typer.Exit(_status(found, waited=True))


def _row(line: bytes) -> Any:
    """What a line holds; its text where that is no JSON, so that it is refused by itself."""
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
