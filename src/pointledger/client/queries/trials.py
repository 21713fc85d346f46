"""Tries a command: says what it would do if it were applied now. Changes nothing.

It makes the real decision on a copy of the account, so it says what applying the command now would do. A
command that is accepted before this one can still change the result.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.commands.outcomes import Applied, Decision, Reason, Refused
from pointledger.domain.decisions.decide import dispatch, moment_of
from pointledger.domain.decisions.guards import advance
from pointledger.domain.decisions.wallets import wallet_data
from pointledger.domain.ledger.book import Book
from pointledger.domain.ledger.outcome_data import account_data, expand

_SHOWN_APART = ("account", "transactions", "transaction", "wallet", "wallet_transaction")


@dataclass(frozen=True, slots=True)
class Trial:
    """What a command would do to its user's account and wallet if it were applied now."""

    decision: Decision
    """Applied or refused."""
    before: dict[str, Any] | None
    """The account as it is now, in the fields of outcomes. None: there is no account."""
    after: dict[str, Any] | None
    """The account as the command would leave it."""
    entries: tuple[dict[str, Any], ...]
    """The entries that it would write, without those that are due anyway."""
    figures: dict[str, Any]
    """What else its outcome would say, like `points_released`."""
    wallet_before: dict[str, Any] | None = None
    """The wallet as it is now, in the fields of outcomes. None: the command uses none, or there is none."""
    wallet_after: dict[str, Any] | None = None
    """The wallet as the command would leave it."""

    @property
    def refused(self) -> Refused | None:
        """The refusal, if it would be refused."""
        return self.decision if isinstance(self.decision, Refused) else None


def try_command(book: Book, accepted: Accepted) -> Trial:
    """Return what the command would do at its effective moment.

    The book must have the command's read set, and is changed: it is no longer the ledger's state.
    """
    command = accepted.command
    tenant = book.tenants.get(command.tenant_id)
    if tenant is None:
        refused = Refused(Reason.TENANT_UNKNOWN, f"there is no tenant {command.tenant_id}")
        return Trial(refused, None, None, (), {})
    book.begin(command.tenant_id, command.id)
    at = moment_of(book, tenant, accepted)
    if account := book.accounts.get((command.tenant_id, command.user_id)):
        advance(book, tenant, account, at)
    before, wallet_before = _state_of(book, accepted), _wallet_of(book, accepted)
    decision = dispatch(book, tenant, command, at)
    data = expand(_plain(decision.data)) if isinstance(decision, Applied) else {}
    figures = {name: value for name, value in data.items() if name not in _SHOWN_APART}
    entries = tuple(data.get("transactions") or ())
    after, wallet_after = _state_of(book, accepted), _wallet_of(book, accepted)
    return Trial(decision, before, after, entries, figures, wallet_before, wallet_after)


def _state_of(book: Book, accepted: Accepted) -> dict[str, Any] | None:
    account = book.accounts.get((accepted.command.tenant_id, accepted.command.user_id))
    if account is None:
        return None
    state: dict[str, Any] = expand({"account": _plain(account_data(account))})["account"]
    return state | {"expiry_exempt": account.expiry_exempt}


def _wallet_of(book: Book, accepted: Accepted) -> dict[str, Any] | None:
    wallet = book.wallets.known.get((accepted.command.tenant_id, accepted.command.user_id))
    if wallet is None or not accepted.command.uses_wallet:
        return None
    shown: dict[str, Any] = expand(_plain(wallet_data(wallet)))
    return shown


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """Return the data as the outcome stores it: ids and moments as text."""
    plain: dict[str, Any] = orjson.loads(orjson.dumps(data, option=orjson.OPT_UTC_Z))
    return plain
