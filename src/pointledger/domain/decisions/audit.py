"""Builds the audit log: what administrators do, and what they try. Defines which commands are audited.

The transaction that applies a command also writes its audit record, with the state before and after. The
journal has its actor and reason.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pointledger.domain.commands import AnyCommand, Freeze, Refund, Unfreeze
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.commands.outcomes import Decision, Refused
from pointledger.domain.decisions.decide import decide
from pointledger.domain.decisions.wallets import wallet_data
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.outcome_data import account_data
from pointledger.domain.values.actor import DEFAULT_SERVICE, JOB, PERSON_PREFIX, SERVICE_PREFIX
from pointledger.ids import id_in_order

# Kinds that are audited for every sender.
ALWAYS = frozenset(
    {
        "adjust",
        "set-status",
        "wallet-adjust",
        "expire",
        "import-opening-balance",
        "extend-expiry",
        "set-expiry-exemption",
        "apply-expiry-policy",
        "open-account",
        "erase-user",
    }
)

_SOMETIMES = frozenset({"freeze", "unfreeze", "refund", "clawback", "cancel-pending", "confirm-deduction"})
_MACHINES = (DEFAULT_SERVICE, JOB)


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A decided command of an administrator. The journal has the command, its actor and its reason.

    `before` and `after` omit the user's id, because the audit log stays when a user is erased.
    """

    id: UUID
    tenant_id: str
    command_id: UUID
    recorded_at: datetime
    state: str
    refusal: str | None
    before: dict[str, Any]
    after: dict[str, Any]


def may_be_audited(kind: str | None) -> bool:
    """Return whether all or some commands of this kind are audited."""
    return kind in ALWAYS or kind in _SOMETIMES


def is_audited(command: AnyCommand) -> bool:
    """Return whether the command is an administrator's or a person's at the console, so it is audited."""
    if command.kind in ALWAYS:
        return True
    if command.kind not in _SOMETIMES:
        return False
    if command.actor.startswith(PERSON_PREFIX):
        return True
    if isinstance(command, Refund):
        return command.related_id is None
    return isinstance(command, Freeze | Unfreeze) and _is_administrators(command)


def _is_administrators(command: Freeze | Unfreeze) -> bool:
    """Return whether an administrator sent it: as the entry point has found, or else by the actor's name."""
    if command.sender is not None:
        return command.sender == "administrator"
    return command.actor not in (*_MACHINES, command.user_id) and not command.actor.startswith(SERVICE_PREFIX)


def decide_audited(book: Book, accepted: Accepted, audit_records: list[AuditRecord]) -> Decision:
    """Decide a command, and append an audit record if it is audited. Others cost only one check."""
    command = accepted.command
    if not is_audited(command):
        return decide(book, accepted)
    before = _state_of(book, command)
    decision = decide(book, accepted)
    refused = isinstance(decision, Refused)
    audit_records.append(
        AuditRecord(
            id=id_in_order(book.recorded_at, accepted.seq),
            tenant_id=command.tenant_id,
            command_id=command.id,
            recorded_at=book.recorded_at,
            state="refused" if refused else "applied",
            refusal=decision.reason.value if isinstance(decision, Refused) else None,
            before=before,
            after=_state_of(book, command),
        )
    )
    return decision


def _state_of(book: Book, command: AnyCommand) -> dict[str, Any]:
    key = (command.tenant_id, command.user_id)
    account = book.accounts.get(key)
    state: dict[str, Any] = {"account": account_data(account) if account else None}
    if account and state["account"]:
        del state["account"]["user_id"]
        state["account"]["expiry_exempt"] = account.expiry_exempt
        if account.next_expiry_at:
            state["account"]["next_expiry_at"] = account.next_expiry_at
    if command.uses_wallet:
        wallet = book.wallets.known.get(key)
        state["wallet"] = wallet_data(wallet) if wallet else None
    return state
