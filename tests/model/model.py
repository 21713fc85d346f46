"""The model of the ledger: a tenant's world, and the effect of each command.

It was written from the specification and the README alone, without the ledger's code. Where both are silent,
docs/reference/commands.md has the decision. The model decides one command after the other.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.model import administration, holds, points, reversals, rules, transfers, wallets
from tests.model.accounts import Account, Entry, Lot
from tests.model.calendars import Calendar
from tests.model.deciding import (
    GUARDS,
    Command,
    Data,
    Decision,
    Outcome,
    Refused,
    account_data,
    transactions,
)
from tests.model.lifecycle import Clock
from tests.model.programs import Config, Rule
from tests.model.wallets import Wallet

DEEDS: dict[str, Callable[[Decision], Data]] = {
    "open-account": points.open_account,
    "earn": points.earn,
    "apply-rule": rules.apply_rule,
    "spend": points.spend,
    "transfer": transfers.transfer,
    "expire": points.expire,
    "freeze": holds.freeze,
    "confirm-deduction": holds.confirm_deduction,
    "unfreeze": holds.unfreeze,
    "refund": reversals.refund,
    "clawback": reversals.clawback,
    "cancel-pending": reversals.cancel_pending,
    "import-opening-balance": points.import_opening_balance,
    "erase-user": administration.erase_user,
    "adjust": points.adjust,
    "wallet-adjust": wallets.wallet_adjust,
    "exchange": wallets.exchange,
    "set-status": administration.set_status,
    "extend-expiry": administration.extend_expiry,
    "set-expiry-exemption": administration.set_expiry_exemption,
    "apply-expiry-policy": administration.apply_expiry_policy,
    "expire-due": points.expire_due,
    "release-holds-due": holds.release_holds_due,
    "activate-due": points.activate_due,
}
assert DEEDS.keys() == GUARDS.keys()

_WITHOUT_TRANSACTIONS = ("expire-due", "activate-due", "wallet-adjust")
_BEGINNING = datetime.min.replace(tzinfo=UTC)


class World:
    """One tenant. `translate` maps the ids in commands to the model's; by default they are the model's."""

    def __init__(self, tenant_id: str, *, translate: Callable[[str], str | None] = str) -> None:
        self.tenant_id = tenant_id
        self.accounts: dict[str, Account] = {}
        self.wallets: dict[str, Wallet] = {}
        self.rules: dict[str, list[tuple[datetime | None, Rule]]] = {}
        self.usage: defaultdict[points.Meter, list[int]] = defaultdict(lambda: [0, 0])  # points, times
        self.find_lot: Callable[[str], Lot | None] = self._own_lot
        self._translate = translate
        self._config: Config | None = None
        self._zones: list[tuple[datetime, str]] = []
        self._calendar = Calendar([(_BEGINNING, "UTC")])

    # -------------------------------------------------------------------------------------- the program

    def put_config(self, config: Mapping[str, Any], saved_at: datetime) -> None:
        """Set the tenant's configuration from now on."""
        was, self._config = self._config, Config.read(config)
        self._zones.append((saved_at, self._config.timezone))
        self._calendar = Calendar(self._zones)
        administration.give_notice(self, was, saved_at)

    def put_rule(self, body: Mapping[str, Any], in_force_from: datetime | None) -> None:
        """Add a version of a rule, if it changes anything; the first has always been in force."""
        rule = Rule.read(body)
        versions = self.rules.setdefault(rule.name, [])
        if versions and versions[-1][1] == rule:
            return
        versions.append((in_force_from if versions else None, rule))

    def put_wallet(self, user: str, status: str, frozen: int) -> None:
        """Freeze a wallet, or money in it. An erased user has no wallet under the user's id."""
        wallet, account = self.wallets.get(user), self.accounts.get(user)
        if wallet and not (account and account.status == "erased"):
            wallet.status, wallet.frozen_balance = status, min(wallet.balance, frozen)

    @property
    def has_config(self) -> bool:
        """Whether the tenant exists."""
        return self._config is not None

    @property
    def config(self) -> Config:
        assert self._config is not None
        return self._config

    @config.setter
    def config(self, config: Config) -> None:
        self._config = config

    @property
    def calendar(self) -> Calendar:
        return self._calendar

    # ------------------------------------------------------------------------------------------- query

    def entry(self, given: Any) -> Entry | None:
        """Return the entry that an id in a command names."""
        name = self._translate(str(given))
        return self.entry_by_name(name) if name else None

    def entry_by_name(self, name: str) -> Entry | None:
        """Return the entry with the model's id, user/seq, if it exists."""
        user, _, seq = name.partition("/")
        account = self.accounts.get(user)
        if account is None or not seq.isdigit() or int(seq) > len(account.entries):
            return None
        return account.entries[int(seq) - 1]

    def lot(self, given: Any) -> Lot | None:
        """Return the lot that an id in a command names."""
        return self.find_lot(str(given))

    def _own_lot(self, given: str) -> Lot | None:
        name, _, nth = given.rpartition("/")
        entry = self.entry_by_name(name)
        if entry is None or not nth.isdigit() or int(nth) >= len(entry.lots):
            return None
        return entry.lots[int(nth)]

    # ------------------------------------------------------------------------------------------- decide

    def decide(self, command: Command) -> Outcome:
        """Apply or refuse a command."""
        if self._config is None:
            return Outcome("refused", "TENANT_UNKNOWN")
        decision = self._begin(command)
        account = self.accounts.get(command.user_id)
        try:
            if account and account.is_open:
                decision.clock.advance(account, decision.effective_at)
            before = len(account.entries) if account else 0
            if command.kind == "release-holds-due" and account:  # the timeouts belong to this command
                before -= sum(entry.command == command.id for entry in account.entries)
            self._guard(decision, account)
            data = DEEDS[command.kind](decision)
        except Refused as refusal:
            return Outcome("refused", refusal.args[0])
        return Outcome("applied", None, self._outcome_data(decision, data, before))

    def _begin(self, command: Command) -> Decision:
        clock = Clock(self.config, self.calendar, command.id)
        effective_at = self.effective_at(command)
        account = self.accounts.get(command.user_id)
        if account is None:
            account = Account(command.user_id, self.config.points_type, effective_at)
        return Decision(self, command, self.config, self.calendar, clock, effective_at, account)

    def effective_at(self, command: Command) -> datetime:
        """Return when a command counts as happening: not later than now, nor earlier than allowed."""
        accepted_at = command.accepted_at
        if "as_of" in command.fields:
            as_of: datetime = command.fields["as_of"]
            return min(as_of, accepted_at)
        if command.occurred_at is None or command.occurred_at > accepted_at:
            return accepted_at
        days = self.config.backdating_days
        if days is not None and command.occurred_at < accepted_at - timedelta(days=days):
            return accepted_at
        return command.occurred_at

    def _guard(self, decision: Decision, account: Account | None) -> None:
        command, guard = decision.command, GUARDS[decision.command.kind]
        if guard.switch and not getattr(self.config, guard.switch):
            raise Refused("FEATURE_DISABLED")
        if command.kind == "transfer":
            transfers.guard(decision, account)
        if command.kind == "exchange":
            wallets.guard_exchange(decision, account)
        if account is None:
            if guard.account == "needed" or (command.kind == "adjust" and decision.amount < 0):
                raise Refused("ACCOUNT_NOT_FOUND")
            return
        if account.status == "erased" and command.kind != "erase-user":
            raise Refused("ACCOUNT_ERASED")
        if command.kind == "open-account":
            raise Refused("ACCOUNT_EXISTS")
        if account.status == "closed" and not guard.closed:
            raise Refused("ACCOUNT_CLOSED")
        if account.status == "suspended" and not guard.suspended:
            raise Refused("ACCOUNT_SUSPENDED")

    def _outcome_data(self, decision: Decision, data: Data, before: int) -> Data:
        account = decision.account
        own = [
            entry
            for entry in account.entries[before:]
            if (entry.type, entry.subtype) not in (("expire", "scheduled"), ("adjust", "activation"))
        ]
        if GUARDS[decision.command.kind].account == "made":
            self.accounts.setdefault(decision.command.user_id, account)
        outcome_data = dict(data)
        if decision.command.kind not in _WITHOUT_TRANSACTIONS:
            outcome_data["transactions"] = transactions(own)
        if decision.command.user_id in self.accounts and decision.command.kind != "wallet-adjust":
            outcome_data.setdefault("account", account_data(account))
        return outcome_data
