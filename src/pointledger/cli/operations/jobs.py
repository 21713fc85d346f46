"""Commands that start a periodic job now, or show what it would do."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from pointledger.cli.accounts.queries import _print_figures
from pointledger.cli.arguments import AccountsAtMost, OneTenant, SweptAsOf, WaitForAll
from pointledger.cli.commands.bulk import _reasons
from pointledger.cli.output import (
    Json,
    print_fields,
    print_json,
    print_table,
    stderr,
)
from pointledger.cli.progress import Tally
from pointledger.cli.session import (
    looking_up,
    opened_acceptance,
    opened_client,
    opened_database,
    opened_settings,
)
from pointledger.jobs.scheduler import Sweep
from pointledger.settings import Settings


def sweep_expiry(
    tenant: OneTenant = None,
    as_of: SweptAsOf = None,
    limit: AccountsAtMost = None,
    wait: WaitForAll = False,
    json: Json = False,
) -> None:
    """Expire what is due: finds the accounts and accepts a command for each.

    Beat does it every night after each tenant's midnight. Sweeping twice as of one time is sweeping once.
    Paused tenants are left out unless --tenant names them: their commands wait. See it before: sweep preview.
    """
    began = time.monotonic()
    with opened_settings() as settings, opened_client(settings) as client, opened_sweep(settings) as sweep:
        tally, found, accepted = Tally(client), 0, 0
        with stderr().status("Sweeping ..."):
            for receipt in sweep.expire_now(as_of, tenant, limit):
                found += len(receipt.task_ids)
                accepted += receipt.new
                tally.add(receipt.task_ids)
            if wait:
                tally.wait(lambda: None)
    shown: dict[str, Any] = {"found": found, "accepted": accepted, "duplicates": found - accepted}
    if wait:
        refused = dict(tally.refused)
        shown |= {
            "applied": tally.applied,
            "refused": refused if json else _reasons(refused),
            "dead": tally.dead,
        }
        shown |= {"pending": tally.pending} if tally.pending else {}
    shown["seconds"] = round(time.monotonic() - began, 3)
    (print_json if json else print_fields)(shown)
    raise tally.exit(waited=wait)


@contextmanager
def opened_sweep(settings: Settings) -> Iterator[Sweep]:
    """What finds what is due."""
    with opened_database(settings) as database, opened_acceptance(database, settings) as acceptance:
        yield Sweep(database, acceptance)


def sweep_erasures(json: Json = False) -> None:
    """Search the journal for what names users who were erased, and strip it of them. Beat does it every
    minute; this goes on for ten seconds at most."""
    with opened_settings() as settings, opened_sweep(settings) as sweep:
        shown = {"finished": sweep.finish_erasures()}
    (print_json if json else print_fields)(shown)


def sweep_holds(json: Json = False) -> None:
    """Release the holds that have timed out by the database's clock: accepts a command for each user and
    moment. Beat does it every 15 seconds; doing it twice is doing it once."""
    with opened_settings() as settings, opened_sweep(settings) as sweep:
        shown = {"accepted": sweep.release_holds()}
    (print_json if json else print_fields)(shown)


_MOST_MEMBERS = 10_000  # of a preview that are listed; the sums count all


def sweep_preview(
    tenant: OneTenant = None,
    as_of: SweptAsOf = None,
    members: Annotated[
        int, typer.Option("--members", metavar="N", min=1, max=_MOST_MEMBERS, help="List so many accounts.")
    ] = 50,
    json: Json = False,
) -> None:
    """Show what a sweep would expire, and whose points; changes nothing. With --json a tenant a line.

    Also where expiry is switched off: look before switching it on. The same where a notice holds it back:
    what is due as of a moment goes when that is over. A tenant's limit per run is not taken
    into account: this is what is due.
    """
    with looking_up() as lookups:
        found = lookups.preview_of_sweep(tenant, as_of, members)
    if json:
        for preview in found:
            print_json(preview)
        return
    columns = ("tenant_id", "expire_enabled", "expires_not_before", "accounts", "lots", "points")
    print_table(columns, [[preview[column] for column in columns] for preview in found])
    for preview in found:
        if preview["members"]:
            _print_figures(f"first of {preview['tenant_id']}", preview["members"])
