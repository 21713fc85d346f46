"""Commands for periodic jobs: `jobs expire|release-holds|erase|sum-up|preview`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from pointledger.cli.accounts.queries import print_figures
from pointledger.cli.arguments import AccountsAtMost, AsOf, OneTenant, WaitForAll
from pointledger.cli.commands.bulk import reasons_text
from pointledger.cli.input import entity_id
from pointledger.cli.output import (
    Json,
    print_fields,
    print_json,
    print_rows,
    stderr,
)
from pointledger.cli.progress import Tally
from pointledger.cli.session import (
    opened_acceptance,
    opened_client,
    opened_database,
    opened_queries,
    opened_settings,
)
from pointledger.jobs.day_totals import DayTotals
from pointledger.jobs.scheduler import JobScheduler
from pointledger.settings import Settings


def expire(
    tenant: OneTenant = None,
    as_of: AsOf = None,
    limit: AccountsAtMost = None,
    wait: WaitForAll = False,
    json: Json = False,
) -> None:
    """Find the accounts with points due to expire, and enqueue a command for each.

    Beat runs this job every night after each tenant's midnight. A second run for the same time has no effect.
    Paused tenants are skipped unless --tenant names one; its commands stay pending. To see the effect
    first, run: jobs preview.
    """
    began = time.monotonic()
    with (
        opened_settings() as settings,
        opened_client(settings) as client,
        opened_scheduler(settings) as scheduler,
    ):
        tally, found, accepted = Tally(client), 0, 0
        with stderr().status("Finding points that are due ..."):
            for receipt in scheduler.expire_now(as_of, tenant, limit):
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
            "refused": refused if json else reasons_text(refused),
            "dead": tally.dead,
        }
        shown |= {"pending": tally.pending} if tally.pending else {}
    shown["seconds"] = round(time.monotonic() - began, 3)
    (print_json if json else print_fields)(shown)
    raise tally.exit(waited=wait)


@contextmanager
def opened_scheduler(settings: Settings) -> Iterator[JobScheduler]:
    """Open a job scheduler."""
    with opened_database(settings) as database, opened_acceptance(settings) as acceptance:
        yield JobScheduler(database, acceptance)


def erase(json: Json = False) -> None:
    """Redact erased users in the journal.

    Beat runs this job every minute. It stops after ten seconds, even if it has not finished.
    """
    with opened_settings() as settings, opened_scheduler(settings) as scheduler:
        shown = {"finished": scheduler.finish_erasures()}
    (print_json if json else print_fields)(shown)


def release_holds(json: Json = False) -> None:
    """Release holds that have timed out, by the database's clock.

    Enqueues a command for each user and time. Beat runs this job every 15 seconds. A second run has no
    effect.
    """
    with opened_settings() as settings, opened_scheduler(settings) as scheduler:
        shown = {"accepted": scheduler.release_holds()}
    (print_json if json else print_fields)(shown)


def sum_up(
    anew: Annotated[
        str | None,
        typer.Option(
            "--anew",
            metavar="TENANT",
            parser=entity_id,
            help="Delete this tenant's sums first, and make them anew.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Sum up the entries of each tenant's days, which the console shows.

    Beat runs this job every minute. Entries of the last minute wait for the next run; queries add them
    themselves. Use --anew if `pointledger verify` finds that sums and entries differ.
    """
    with opened_settings() as settings, opened_database(settings) as database:
        totals = DayTotals(database)
        if anew is not None:
            totals.make_anew(anew)
        with stderr().status("Summing up entries ..."):
            while totals.sum_up():
                pass
    shown = {"summed_up": True, "anew": anew}
    (print_json if json else print_fields)(shown)


_MOST_MEMBERS = 10_000  # accounts that a preview lists; its sums count all


def preview(
    tenant: OneTenant = None,
    as_of: AsOf = None,
    members: Annotated[
        int, typer.Option("--members", metavar="N", min=1, max=_MOST_MEMBERS, help="List N accounts.")
    ] = 50,
    json: Json = False,
) -> None:
    """Show the accounts and points that an expiry run would expire.

    Changes nothing. With --json, print one tenant per line.

    This also works if expiry is switched off, so that you can check before you switch it on. During a notice
    period it shows what expires when the period ends. It ignores the tenant's limit per run.
    """
    with opened_queries() as queries:
        found = queries.preview_expiry(tenant, as_of, members)
    if json:
        for preview in found:
            print_json(preview)
        return
    columns = ("tenant_id", "expire_enabled", "expires_not_before", "accounts", "lots", "points")
    print_rows(columns, found)
    for preview in found:
        if preview["members"]:
            print_figures(f"first of {preview['tenant_id']}", preview["members"])


jobs_app = typer.Typer(no_args_is_help=True)
jobs_app.command("expire")(expire)
jobs_app.command("release-holds")(release_holds)
jobs_app.command("erase")(erase)
jobs_app.command("sum-up")(sum_up)
jobs_app.command("preview")(preview)
