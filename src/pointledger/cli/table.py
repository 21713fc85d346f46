"""The table of all commands: which panel of the help shows each, and the module that it is imported from.

A command is imported when it is run or described. `pointledger --help` needs only this table, so it does not
load the libraries for Postgres, Redis and Celery. `tests/cli/test_table.py` compares it with the commands.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Literal, NamedTuple

import typer

MARKUP: Literal["markdown"] = "markdown"  # paragraphs flow to the terminal's width


class Entry(NamedTuple):
    """A command, or a group of commands, which is a Typer app."""

    name: str
    place: str
    """`module:name`, below this package."""
    help: str
    """The first paragraph of its docstring; all of a group's."""


COMMANDS: Mapping[str, tuple[Entry, ...]] = {
    "Commands": (
        Entry(
            "enqueue",
            "commands.enqueue:enqueue",
            "Enqueue one command. It is durable when this returns, and a worker applies it soon after.",
        ),
        Entry(
            "outcome",
            "commands.enqueue:outcome",
            "Show a command's outcome: pending, applied, refused with a reason, or dead. Outcomes never "
            "expire.",
        ),
        Entry(
            "cancel",
            "commands.enqueue:cancel",
            "Cancel a pending command. Its outcome becomes refused, with the reason CANCELLED.",
        ),
        Entry(
            "replay",
            "commands.bulk:replay",
            "Enqueue a file of commands in order, one JSON object per line.",
        ),
        Entry(
            "batch-earn",
            "commands.batches:batch_earn",
            "Enqueue an earn for each line of a file, all or none.",
        ),
        Entry(
            "batch-outcome",
            "commands.batches:batch_outcome",
            "Show a batch's outcomes: how many commands were applied, refused and why, dead, or are pending.",
        ),
    ),
    "Accounts": (
        Entry(
            "account",
            "accounts.accounts:account",
            "Show a user's current points: available, frozen, earned, spent and expired.",
        ),
        Entry("accounts", "accounts.accounts:accounts", "List a tenant's accounts by user id."),
        Entry(
            "entries",
            "accounts.accounts:entries",
            "List a user's entries, newest first. With --json, print one per line.",
        ),
        Entry("entry", "accounts.queries:entry", "Show one entry."),
        Entry(
            "explain",
            "accounts.queries:explain",
            "Explain an entry: its command, its rule and limit, and the lots that it took from or created.",
        ),
        Entry(
            "holds",
            "accounts.holds:holds",
            "List a user's current holds, newest first. With --json, print one per line.",
        ),
        Entry("hold", "accounts.holds:hold", "Show a hold's current state, and the lots of its points."),
        Entry(
            "expiring",
            "accounts.queries:expiring",
            "List the lots that expire within --days, without frozen points.",
        ),
        Entry(
            "value",
            "accounts.queries:value",
            "Show the cash value of a user's available points. Only for cash_equivalent points.",
        ),
        Entry("stats", "accounts.queries:stats", "Show statistics of a user or a tenant."),
        Entry(
            "export",
            "accounts.queries:export",
            "Print all data about a user as one JSON object: account, lots, entries, commands and outcomes.",
        ),
        Entry("wallet", "accounts.wallets:wallet_app", "Show users' money."),
    ),
    "Program": (
        Entry(
            "limits",
            "accounts.queries:limits",
            "Show current usage of the limits that all users of a tenant share, of scope `rule` and "
            "`tenant`.",
        ),
        Entry("tenant", "program.tenants:tenant_app", "Configure tenants."),
        Entry("rule", "program.rules:rule_app", "Configure the rules that turn events into points."),
    ),
    "Operation": (
        Entry(
            "demo",
            "operations.demo:demo",
            "Run Postgres, Valkey, two workers, beat, the HTTP API and the console; replay real baskets.",
        ),
        Entry(
            "migrate",
            "operations.checks:migrate",
            "Create the tables, or upgrade them to this version, while processes use them.",
        ),
        Entry(
            "doctor",
            "operations.checks:doctor",
            "Check servers, settings and pending work, and print a fix for each problem. Changes nothing.",
        ),
        Entry(
            "metrics",
            "operations.checks:metrics",
            "Print or serve the metrics of the whole ledger in Prometheus' text format.",
        ),
        Entry(
            "verify",
            "operations.checks:verify",
            "Check every invariant of the ledger, or of one account, while the ledger runs.",
        ),
        Entry(
            "health",
            "operations.health:health",
            "Check that the processes here work on, and exit with status 1 if one stands still or none runs.",
        ),
        Entry(
            "worker",
            "operations.workers:worker",
            "Run a worker, which applies commands, until stopped. SIGTERM lets it finish its batch.",
        ),
        Entry(
            "beat",
            "operations.workers:beat",
            "Run beat, which starts the periodic jobs, until stopped. Several beats do the work once.",
        ),
        Entry(
            "relay",
            "operations.processes:relay",
            "Send outgoing events to the broker until stopped. Several relays can run at the same time.",
        ),
        Entry(
            "outbox",
            "operations.processes:outbox",
            "Show how far the relays are behind: the number of waiting events and the age of the oldest.",
        ),
        Entry(
            "ingest",
            "operations.processes:ingest",
            "Receive events of other services from the queue until stopped.",
        ),
        Entry("erase", "accounts.erase:erase", "Erase a user permanently."),
        Entry(
            "audit-log",
            "operations.audit_log:audit_log",
            "List what administrators did, newest first, with actor, reason, and the state before and after.",
        ),
        Entry("serve", "operations.serve:serve", "Serve the HTTP API until stopped."),
        Entry(
            "mcp",
            "operations.mcp:mcp",
            "Answer an assistant's questions over MCP, on stdin and stdout, until stdin ends. It can only "
            "read.",
        ),
        Entry(
            "console",
            "operations.serve:console",
            "Serve the console alone until stopped: pages for support, finance, marketing and operators.",
        ),
        Entry("dead", "operations.dead:dead_app", "List, show and retry commands whose processing failed."),
        Entry(
            "dead-letters",
            "operations.dead_letters:dead_letters_app",
            "Replay messages that are not commands.",
        ),
        Entry("jobs", "operations.jobs:jobs_app", "Run a periodic job now, or preview it."),
    ),
}


def entries() -> Iterator[tuple[str, Entry]]:
    """Yield each panel's entries, in the order of the help."""
    for panel, listed in COMMANDS.items():
        yield from ((panel, entry) for entry in listed)


def imported(name: str) -> Any:
    """Import a command and return it as Typer runs it."""
    panel, entry = next((panel, entry) for panel, entry in entries() if entry.name == name)
    module, _, attribute = entry.place.partition(":")
    found = getattr(import_module(f"pointledger.cli.{module}"), attribute)
    alone = typer.Typer(add_completion=False, rich_markup_mode=MARKUP, pretty_exceptions_enable=False)
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name, help=entry.help, rich_help_panel=panel)
    else:
        alone.command(name, rich_help_panel=panel)(found)
        alone.callback()(_nothing)  # without it Typer would make a program of a single command
    made: Any = typer.main.get_command(alone)
    return made.commands[name]


def _nothing() -> None:
    """Do nothing before the command."""
