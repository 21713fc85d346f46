"""Acts: what administrators do, and what they tried. This is the one place that says which commands are.

An act is kept with who did it, why, and what was before and after, in the transaction that does it.
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
from pointledger.ids import id_in_order

# Kinds that are acts whoever sends them.
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


_SOMETIMES = frozenset({"freeze", "unfreeze", "refund"})


_SERVICES = ("service", "sweep")  # who acts when nobody says so, and the beat


@dataclass(frozen=True, slots=True)
class Act:
    """A command of an administrator's that was decided; what it is, who sent it and why is in the journal.

    `before` and `after` are what it was about, without whose it is: an act stays when a person is erased.
    """

    id: UUID
    tenant_id: str
    command_id: UUID
    recorded_at: datetime
    state: str
    refusal: str | None
    before: dict[str, Any]
    after: dict[str, Any]


def may_be_act(kind: str | None) -> bool:
    """Whether commands of this kind are acts, or some of them."""
    return kind in ALWAYS or kind in _SOMETIMES


def is_act(command: AnyCommand) -> bool:
    """Whether an administrator's hand is behind the command."""
    if command.kind in ALWAYS:
        return True
    if command.kind not in _SOMETIMES:
        return False
    if isinstance(command, Refund):
        return command.related_id is None
    return isinstance(command, Freeze | Unfreeze) and _is_for_another(command)


def _is_for_another(command: AnyCommand) -> bool:
    """Whether somebody sent it who is neither a service nor the user."""
    return command.actor not in (*_SERVICES, command.user_id) and not command.actor.startswith("svc:")


def decide_on_record(book: Book, accepted: Accepted, acts: list[Act]) -> Decision:
    """`decide`, and an act more where the command is one. What is none pays a look at its kind."""
    command = accepted.command
    if not is_act(command):
        return decide(book, accepted)
    before = _standing(book, command)
    decision = decide(book, accepted)
    refused = isinstance(decision, Refused)
    acts.append(
        Act(
            id=id_in_order(book.recorded_at, accepted.seq),
            tenant_id=command.tenant_id,
            command_id=command.id,
            recorded_at=book.recorded_at,
            state="refused" if refused else "applied",
            refusal=decision.reason.value if isinstance(decision, Refused) else None,
            before=before,
            after=_standing(book, command),
        )
    )
    return decision


def _standing(book: Book, command: AnyCommand) -> dict[str, Any]:
    key = (command.tenant_id, command.user_id)
    account = book.accounts.get(key)
    stands: dict[str, Any] = {"account": account_data(account) if account else None}
    if account and stands["account"]:
        del stands["account"]["user_id"]
        stands["account"]["expiry_exempt"] = account.expiry_exempt
        if account.next_expiry_at:
            stands["account"]["next_expiry_at"] = account.next_expiry_at
    if command.uses_wallet:
        wallet = book.wallets.known.get(key)
        stands["wallet"] = wallet_data(wallet) if wallet else None
    return stands
