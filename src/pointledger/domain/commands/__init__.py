"""Commands: what can be asked of the ledger. One class per kind; the kind's name is the wire contract.

A command is valid once it exists: pydantic, strict and frozen, so that what leaves a producer is well
formed. Its id is its identity: sending the same object twice is sending one command.
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
from pointledger.domain.commands.scheduled import ActivateDue, ExpireDue, ReleaseHoldsDue, SweepCommand
from pointledger.domain.commands.wallets import Exchange, WalletAdjust
from pointledger.domain.values.extensions import check_extensions
from pointledger.domain.values.json_values import check_metadata
from pointledger.domain.values.validation import explain
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
    "SetExpiryExemption",
    "SetStatus",
    "Spend",
    "SweepCommand",
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

KINDS: dict[str, type[AnyCommand]] = {command.kind: command for command in get_args(AnyCommand)}


def command_from(kind: object, fields: dict[str, Any]) -> AnyCommand:
    """The command of this kind with these fields. Raises InvalidCommand naming each field and rule."""
    command = KINDS.get(kind) if isinstance(kind, str) else None
    if command is None:
        raise InvalidCommand(f"kind: one of {', '.join(KINDS)}")
    try:
        return command.model_validate(fields)
    except ValidationError as error:
        raise InvalidCommand(explain(error)) from None


def checked(command: AnyCommand) -> AnyCommand:
    """The command, looked at once more as it comes through the door: its fields are frozen, but metadata and
    extensions are the caller's own dictionaries, which may have changed. Raises InvalidCommand."""
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
