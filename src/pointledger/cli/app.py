"""The commands in one place, and how each ends: its exit status, and one clear line for an error."""

import logging
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from pointledger.cli.accounts import accounts, erase, holds, queries
from pointledger.cli.accounts.wallets import wallet_app
from pointledger.cli.commands import batches, bulk, enqueue
from pointledger.cli.input import InputUnreadable
from pointledger.cli.operations import audit_log as doings
from pointledger.cli.operations import checks, jobs, processes, serve
from pointledger.cli.operations.dead import dead_app
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
    """Ends with a line and a status where something is wrong, never with a traceback for a person to read.

    A bug still shows its traceback: that is for us.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except LedgerError as error:
            _tell(ctx, error)
            raise typer.Exit(_status(error)) from None
        except DATABASE_ERRORS as error:
            _tell(ctx, failure_of(error))
            raise typer.Exit(FAILED) from None
        except TyperException as error:  # Typer tells the person
            if wants_json(ctx):
                print_json({"error": error.format_message()})
            raise


def _tell(context: Any, error: LedgerError) -> None:
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
    """An asynchronous points ledger: accept commands, have workers apply them, look up what came of them.

    The servers are those that POINTLEDGER_DATABASE_URL and POINTLEDGER_REDIS_URL name; without them, an
    embedded pair under .data/ is used. Begin with: pointledger migrate.
    """


app.command(rich_help_panel="Commands")(enqueue.enqueue)
app.command(rich_help_panel="Commands")(enqueue.outcome)
app.command(rich_help_panel="Commands")(enqueue.cancel)
app.command(rich_help_panel="Commands")(bulk.replay)
app.command("batch-earn", rich_help_panel="Commands")(batches.batch_earn)
app.command("batch-outcome", rich_help_panel="Commands")(batches.batch_outcome)
tenant_app.command("apply-expiry")(expiry_policy.apply_expiry)
app.add_typer(tenant_app, name="tenant", help="Tenants: whose programme it is.", rich_help_panel="Programme")
app.add_typer(rule_app, name="rule", help="Rules: from events to points.", rich_help_panel="Programme")
app.command(rich_help_panel="Accounts")(accounts.account)
app.command(rich_help_panel="Accounts")(accounts.accounts)
app.command(rich_help_panel="Accounts")(accounts.entries)
app.command(rich_help_panel="Accounts")(queries.entry)
app.command(rich_help_panel="Accounts")(queries.why)
app.command(rich_help_panel="Accounts")(holds.holds)
app.command(rich_help_panel="Accounts")(holds.hold)
app.command(rich_help_panel="Accounts")(queries.expiring)
app.command(rich_help_panel="Accounts")(queries.value)
app.command(rich_help_panel="Accounts")(queries.stats)
app.command(rich_help_panel="Programme")(queries.limits)
app.command(rich_help_panel="Accounts")(queries.export)
app.add_typer(wallet_app, name="wallet", help="Users' money.", rich_help_panel="Accounts")
app.command(rich_help_panel="Operation")(checks.migrate)
app.command(rich_help_panel="Operation")(checks.doctor)
app.command(rich_help_panel="Operation")(checks.metrics)
app.command(rich_help_panel="Operation")(checks.audit)
app.command(rich_help_panel="Operation")(processes.relay)
app.command(rich_help_panel="Operation")(processes.outbox)
app.command(rich_help_panel="Operation")(processes.intake)
app.command(rich_help_panel="Operation")(erase.erase)
app.command(rich_help_panel="Operation")(checks.integrity)
app.command(rich_help_panel="Operation")(doings.acts)
app.command(rich_help_panel="Operation")(serve.serve)
app.add_typer(dead_app, name="dead", help="Commands that could not be applied.", rich_help_panel="Operation")
sweep_app = typer.Typer(no_args_is_help=True)
sweep_app.command("expiry")(jobs.sweep_expiry)
sweep_app.command("holds")(jobs.sweep_holds)
sweep_app.command("erasures")(jobs.sweep_erasures)
sweep_app.command("preview")(jobs.sweep_preview)
app.add_typer(sweep_app, name="sweep", help="What beat does at night, by hand.", rich_help_panel="Operation")


def main() -> None:
    """The program `pointledger`. Logs go to stderr: stdout belongs to the answer."""
    try:
        settings = Settings()
    except ValueError:  # the command itself says what is wrong with it
        settings = Settings.model_construct()
    log_in_lines(settings, logging.WARNING)
    app(prog_name="pointledger")
