"""Registers all commands, and turns errors into one line and an exit status."""

import logging
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from pointledger.cli.accounts import accounts, erase, holds, queries
from pointledger.cli.accounts.wallets import wallet_app
from pointledger.cli.commands import batches, bulk, enqueue
from pointledger.cli.input import InputUnreadable
from pointledger.cli.operations import audit_log, checks, jobs, processes, serve
from pointledger.cli.operations.dead import dead_app
from pointledger.cli.operations.dead_letters import dead_letters_app
from pointledger.cli.output import BAD_INPUT, FAILED, PENDING, note, print_json, wants_json
from pointledger.cli.program import expiry_policy
from pointledger.cli.program.rules import rule_app
from pointledger.cli.program.tenants import tenant_app
from pointledger.errors import (
    IdempotencyKeyReused,
    InvalidCommand,
    InvalidProducers,
    InvalidRule,
    InvalidTenant,
    LedgerError,
    WaitTimedOut,
)
from pointledger.observability.log_lines import log_in_lines
from pointledger.settings import Settings
from pointledger.storage.errors import DATABASE_ERRORS, failure_of

_BAD_INPUT = (
    InvalidCommand,
    InvalidTenant,
    InvalidRule,
    InvalidProducers,
    IdempotencyKeyReused,
    InputUnreadable,
)


class _Commands(TyperGroup):
    """Prints one line for an expected error, and sets the exit status. A bug still shows its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except LedgerError as error:
            _report(ctx, error)
            raise typer.Exit(_status(error)) from None
        except DATABASE_ERRORS as error:
            _report(ctx, failure_of(error))
            raise typer.Exit(FAILED) from None
        except TyperException as error:  # Typer prints it
            if wants_json(ctx):
                print_json({"error": error.format_message()})
            raise


def _report(context: Any, error: LedgerError) -> None:
    note(f"pointledger: {error}", "red")
    if wants_json(context):
        print_json({"error": str(error)})


def _status(error: LedgerError) -> int:
    if isinstance(error, _BAD_INPUT):
        return BAD_INPUT
    return PENDING if isinstance(error, WaitTimedOut) else FAILED


app = typer.Typer(
    name="pointledger",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",  # paragraphs flow to the terminal's width
    pretty_exceptions_enable=False,  # its frames would show URLs with their passwords
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def pointledger() -> None:
    """An asynchronous points ledger. Enqueue commands, let workers apply them, and look up their outcomes.

    Set POINTLEDGER_DATABASE_URL and POINTLEDGER_REDIS_URL to use your own servers. Without them, pointledger
    uses embedded servers under .data/. Begin with: pointledger migrate.
    """


app.command(rich_help_panel="Commands")(enqueue.enqueue)
app.command(rich_help_panel="Commands")(enqueue.outcome)
app.command(rich_help_panel="Commands")(enqueue.cancel)
app.command(rich_help_panel="Commands")(bulk.replay)
app.command("batch-earn", rich_help_panel="Commands")(batches.batch_earn)
app.command("batch-outcome", rich_help_panel="Commands")(batches.batch_outcome)
tenant_app.command("apply-expiry")(expiry_policy.apply_expiry)
app.add_typer(tenant_app, name="tenant", help="Configure tenants.", rich_help_panel="Program")
app.add_typer(
    rule_app, name="rule", help="Configure the rules that turn events into points.", rich_help_panel="Program"
)
app.command(rich_help_panel="Accounts")(accounts.account)
app.command(rich_help_panel="Accounts")(accounts.accounts)
app.command(rich_help_panel="Accounts")(accounts.entries)
app.command(rich_help_panel="Accounts")(queries.entry)
app.command(rich_help_panel="Accounts")(queries.explain)
app.command(rich_help_panel="Accounts")(holds.holds)
app.command(rich_help_panel="Accounts")(holds.hold)
app.command(rich_help_panel="Accounts")(queries.expiring)
app.command(rich_help_panel="Accounts")(queries.value)
app.command(rich_help_panel="Accounts")(queries.stats)
app.command(rich_help_panel="Program")(queries.limits)
app.command(rich_help_panel="Accounts")(queries.export)
app.add_typer(wallet_app, name="wallet", help="Show users' money.", rich_help_panel="Accounts")
app.command(rich_help_panel="Operation")(checks.migrate)
app.command(rich_help_panel="Operation")(checks.doctor)
app.command(rich_help_panel="Operation")(checks.metrics)
app.command(rich_help_panel="Operation")(checks.verify)
app.command(rich_help_panel="Operation")(processes.relay)
app.command(rich_help_panel="Operation")(processes.outbox)
app.command(rich_help_panel="Operation")(processes.ingest)
app.command(rich_help_panel="Operation")(erase.erase)
app.command("audit-log", rich_help_panel="Operation")(audit_log.audit_log)
app.command(rich_help_panel="Operation")(serve.serve)
app.add_typer(
    dead_app,
    name="dead",
    help="List, show and retry commands whose processing failed.",
    rich_help_panel="Operation",
)
app.add_typer(
    dead_letters_app,
    name="dead-letters",
    help="Replay messages that are not commands.",
    rich_help_panel="Operation",
)
jobs_app = typer.Typer(no_args_is_help=True)
jobs_app.command("expire")(jobs.expire)
jobs_app.command("release-holds")(jobs.release_holds)
jobs_app.command("erase")(jobs.erase)
jobs_app.command("preview")(jobs.preview)
app.add_typer(
    jobs_app, name="jobs", help="Run a periodic job now, or preview it.", rich_help_panel="Operation"
)


def main() -> None:
    """Run the program `pointledger`. Logs go to stderr, because stdout contains the result."""
    try:
        settings = Settings()
    except ValueError:  # the command reports the invalid setting
        settings = Settings.model_construct()
    log_in_lines(settings, logging.WARNING)
    app(prog_name="pointledger")
