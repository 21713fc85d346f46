"""Defines the commands that the ledger accepts: one class per kind, whose name is the wire contract.

Commands are strict, frozen pydantic models, so each existing command is well formed. The id is the command's
identity, so sending the same object twice sends one command.
"""

from typing import Any, get_args

from pydantic import ValidationError

from pointledger.domain.commands.accounts import (
    Adjust,
    EraseUser,
    ImportOpeningBalance,
    OpenAccount,
    OpeningLot,
    SetStatus,
)
from pointledger.domain.commands.base import Command
from pointledger.domain.commands.expiry import ApplyExpiryPolicy, ExtendExpiry, LotExpiry, SetExpiryExemption
from pointledger.domain.commands.holds import ConfirmDeduction, Freeze, Unfreeze
from pointledger.domain.commands.points import ApplyRule, Earn, Expire, Spend, Transfer
from pointledger.domain.commands.reversals import CancelPending, Clawback, Refund
from pointledger.domain.commands.scheduled import ActivateDue, ExpireDue, ReleaseHoldsDue, ScheduledCommand
from pointledger.domain.commands.wallets import Exchange, WalletAdjust
from pointledger.domain.values.extensions import check_extensions
from pointledger.domain.values.json_values import check_metadata
from pointledger.domain.values.validation import describe
from pointledger.errors import InvalidCommand

__all__ = [
    "KINDS",
    "ActivateDue",
    "Adjust",
    "AnyCommand",
    "ApplyExpiryPolicy",
    "ApplyRule",
    "CancelPending",
    "Clawback",
    "Command",
    "ConfirmDeduction",
    "Earn",
    "EraseUser",
    "Exchange",
    "Expire",
    "ExpireDue",
    "ExtendExpiry",
    "Freeze",
    "ImportOpeningBalance",
    "LotExpiry",
    "OpenAccount",
    "OpeningLot",
    "Refund",
    "ReleaseHoldsDue",
    "ScheduledCommand",
    "SetExpiryExemption",
    "SetStatus",
    "Spend",
    "Transfer",
    "Unfreeze",
    "WalletAdjust",
    "checked",
    "command_from",
]

AnyCommand = (
    ApplyRule
    | Earn
    | Spend
    | Transfer
    | Expire
    | ExpireDue
    | Refund
    | Clawback
    | CancelPending
    | ActivateDue
    | ImportOpeningBalance
    | Freeze
    | Unfreeze
    | ConfirmDeduction
    | ReleaseHoldsDue
    | Adjust
    | OpenAccount
    | SetStatus
    | SetExpiryExemption
    | ExtendExpiry
    | ApplyExpiryPolicy
    | EraseUser
    | WalletAdjust
    | Exchange
)
"""A command of any kind."""

KINDS: dict[str, type[AnyCommand]] = {command.kind: command for command in get_args(AnyCommand)}


def command_from(kind: object, fields: dict[str, Any]) -> AnyCommand:
    """Build a command from its kind and fields. Raises InvalidCommand, which names each field and rule."""
    command = KINDS.get(kind) if isinstance(kind, str) else None
    if command is None:
        raise InvalidCommand(f"kind: one of {', '.join(KINDS)}")
    try:
        return command.model_validate(fields)
    except ValidationError as error:
        raise InvalidCommand(describe(error)) from None


def checked(command: AnyCommand) -> AnyCommand:
    """Validate a command again before it is written. Raises InvalidCommand.

    Its fields are frozen, but metadata and extensions are the caller's own dictionaries, which may have
    changed.
    """
    if command.extensions:
        try:
            check_extensions(command.extensions)
        except ValueError as error:
            raise InvalidCommand(f"extensions: {error}") from None
    if isinstance(command, ApplyRule):
        try:
            check_metadata(command.metadata)
        except ValueError as error:
            raise InvalidCommand(f"metadata: {error}") from None
    return command
