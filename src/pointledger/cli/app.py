"""Registers all commands, and turns errors into one line and an exit status."""

import logging
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from pointledger.cli.input import InputUnreadable
from pointledger.cli.output import BAD_INPUT, FAILED, PENDING, note, print_json, wants_json
from pointledger.cli.table import MARKUP, entries, imported
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

_BAD_INPUT = (
    InvalidCommand,
    InvalidTenant,
    InvalidRule,
    InvalidProducers,
    IdempotencyKeyReused,
    InputUnreadable,
)


class _Commands(TyperGroup):
    """Imports a command when it is needed. Prints one line for an expected error, and sets the exit status.

    A bug still shows its traceback.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {
            entry.name: TyperCommand(entry.name, help=entry.help, rich_help_panel=panel)
            for panel, entry in entries()
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, found, rest = super().resolve_command(ctx, args)
        return name, imported(name) if name else found, rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except LedgerError as error:
            _report(ctx, error)
            raise typer.Exit(_status(error)) from None
        except TyperException as error:  # Typer prints it
            if wants_json(ctx):
                print_json({"error": error.format_message()})
            raise
        except Exception as error:
            # Imported here, because a command that has not failed with such an error may not need the driver.
            from pointledger.storage.errors import DATABASE_ERRORS, failure_of  # noqa: PLC0415

            if not isinstance(error, DATABASE_ERRORS):
                raise
            _report(ctx, failure_of(error))
            raise typer.Exit(FAILED) from None


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
    rich_markup_mode=MARKUP,
    pretty_exceptions_enable=False,  # its frames would show URLs with their passwords
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def pointledger() -> None:
    """An asynchronous points ledger. Enqueue commands, let workers apply them, and look up their outcomes.

    Set POINTLEDGER_DATABASE_URL and POINTLEDGER_REDIS_URL to use your own servers. Without them, pointledger
    uses embedded servers under .data/. Begin with: pointledger migrate.
    """


def main(arguments: Sequence[str] | None = None, program: str = "pointledger") -> None:
    """Run the program `pointledger`, with this process' arguments unless others are given.

    Logs go to stderr, because stdout contains the result. Raises SystemExit.
    """
    try:
        settings = Settings()
    except ValueError:  # the command reports the invalid setting
        settings = Settings.model_construct()
    log_in_lines(settings, logging.WARNING)
    app(arguments, prog_name=program)
