"""Replays what was done in the model, in the ledger's order of application, and compares everything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pointledger import AnyCommand
from pointledger import Outcome as LedgerOutcome
from pointledger.ids import parse_id
from tests.model.accounts import TOTALS_IN, TOTALS_OUT, Lot
from tests.model.actions import DoneAction
from tests.model.coverage import Coverage
from tests.model.deciding import Command, Outcome
from tests.model.histories import PutConfig, PutRule, PutWallet
from tests.model.model import World
from tests.model.recorded import Recorded
from tests.model.rows import (
    account_values,
    alike,
    as_command,
    as_moments,
    brought,
    entry_values,
    hold_row,
    hold_values,
    lot_rows,
    lot_values,
    moves_of,
)

_UNCOMPARED = ("rule_id", "transaction", "hold_id", "coupon", "id", "related_id", "user_id", "lot_id")


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where the ledger and the model differ."""

    where: str
    ledger: Any
    model: Any

    def __str__(self) -> str:
        return f"{self.where}:\n    ledger {self.ledger}\n    model  {self.model}"


@dataclass(frozen=True, slots=True)
class TenantHistory:
    """What one tenant's producers and administrators did.

    `commands` and their outcomes are by task id. `labels` has the name of a command in a history.
    """

    tenant_id: str
    commands: Mapping[str, AnyCommand]
    outcomes: Mapping[str, LedgerOutcome]
    actions: Sequence[DoneAction]
    labels: Mapping[str, int] = field(default_factory=dict)

    def label(self, word: str) -> str:
        """Replace a task id by the command's label; return any other word unchanged."""
        return str(self.labels.get(word, word))


class Comparison:
    """Compares one tenant's history with the model. `differences` is empty if they agree."""

    def __init__(
        self, tenant_history: TenantHistory, recorded: Recorded, coverage: Coverage | None = None
    ) -> None:
        self._tenant_history, self._recorded = tenant_history, recorded
        self._coverage = coverage or Coverage()
        self.world = World(tenant_history.tenant_id, translate=self._translate)
        self.world.find_lot = self._find_lot
        self._taken: dict[str, Lot] = {}
        self.differences: list[Difference] = []

    def run(self) -> list[Difference]:
        """Return the first outcome that differs or, if none does, all differences at the end."""
        self._replay()
        if not self.differences:
            self._compare_end()
        return self.differences

    def _differ(self, where: str, ledger: Any, model: Any) -> None:
        if ledger != model:
            self.differences.append(Difference(where, ledger, model))

    # ------------------------------------------------------------------------------------------- names

    def _translate(self, given: str) -> str | None:
        return self._recorded.names.get(str(parse_id(given)))

    def _find_lot(self, given: str) -> Lot | None:
        """Find the model's lot for a ledger id by its entry and its content."""
        lot_id = str(parse_id(given))
        recorded = self._recorded.lot_names.get(lot_id)
        if recorded is None:
            return None
        if lot_id not in self._taken:
            entry = self.world.entry_by_name(recorded["entry"])
            others = [id(lot) for lot in self._taken.values()]
            content = brought(recorded), recorded["earned_at"], recorded["first_expires_at"]
            for lot in entry.lots if entry else ():
                own = lot.amount - sum(points for paid, _, points in lot.entry.moves if paid is lot)
                if id(lot) not in others and (own, lot.earned_at, lot.first_expires_at) == content:
                    self._taken[lot_id] = lot
                    break
        return self._taken.get(lot_id)

    # ------------------------------------------------------------------------------------------ replay

    def _replay(self) -> None:
        actions = list(self._tenant_history.actions)
        for applied in self._recorded.order:
            while actions and actions[0].done_at <= applied.applied_at:
                self._apply_action(actions.pop(0))
            command = as_command(self._tenant_history.commands[applied.command_id], applied.accepted_at)
            outcome = self.world.decide(command)
            self._coverage.outcome(command.kind, outcome)
            self._compare_outcome(command, outcome, self._tenant_history.outcomes[applied.command_id])
            if self.differences:
                return
        for done in actions:
            self._apply_action(done)

    def _apply_action(self, done: DoneAction) -> None:
        match done.action:
            case PutConfig():
                self.world.put_config(as_moments(done.action.config), done.saved_at)
            case PutRule():
                self.world.put_rule(done.action.rule, done.saved_at)
            case PutWallet():
                self.world.put_wallet(done.action.user, done.action.status, done.action.frozen)

    def _compare_outcome(self, command: Command, model: Outcome, ledger: LedgerOutcome) -> None:
        where = f"command {self._tenant_history.label(command.id)}, {command.kind} of {command.user_id}"
        self._differ(f"{where}: outcome", (ledger.state, ledger.reason), (model.state, model.reason))
        data = ledger.data or {}
        for name in sorted((model.data.keys() | data.keys()) - {*_UNCOMPARED}):
            self._differ(f"{where}: {name}", *alike(data.get(name), model.data.get(name)))

    def _compare_end(self) -> None:
        recorded, world = self._recorded, self.world
        self._differ("users with an account", sorted(recorded.accounts), sorted(world.accounts))
        if self.differences:
            return
        for user, account in world.accounts.items():
            self._differ(f"{user}: points by totals and by lots", *_balances(recorded, user))
            self._differ_by_name(f"account of {user}", recorded.accounts[user], account_values(account))
            entries = recorded.entries.get(user, [])
            for entry, values in zip(entries, map(entry_values, account.entries), strict=False):
                for each in (entry, values):
                    each["command"] = self._tenant_history.label(each["command"])
                self._differ_by_name(f"entry {user}/{entry['seq']}", entry, values)
            moves = moves_of(account.entries)
            lots = lot_rows(lot_values(lot, moves) for lot in account.lots)
            self._differ_rows(f"lots of {user}", lot_rows(recorded.lots.get(user, [])), lots)
            holds = [hold_row(hold) for hold in recorded.holds.get(user, [])]
            self._differ_rows(f"holds of {user}", holds, [hold_row(hold_values(h)) for h in account.holds])
        used = {meter: tuple(counts) for meter, counts in world.usage.items() if any(counts)}
        self._differ_by_name("usage", {k: v for k, v in recorded.usage.items() if any(v)}, used)
        wallets = {user: wallet.values for user, wallet in world.wallets.items()}
        self._differ_by_name("wallets", recorded.wallets, wallets)

    def _differ_by_name(self, where: str, ledger: Mapping[Any, Any], model: Mapping[Any, Any]) -> None:
        for name in [*model, *(name for name in ledger if name not in model)]:
            self._differ(f"{where}: {name}", ledger.get(name), model.get(name))

    def _differ_rows(self, where: str, ledger: list[Any], model: list[Any]) -> None:
        expected, found = sorted(model, key=repr), sorted(ledger, key=repr)
        self._differ(
            where,
            [row for row in found if row not in expected],
            [row for row in expected if row not in found],
        )
        self._differ(f"{where}, count", len(ledger), len(model))


def _balances(recorded: Recorded, user: str) -> tuple[Any, Any]:
    """Return both sides of the specification's two identities, from the ledger's own figures.

    The points minus the debt equal the totals; the points equal the lots.
    """
    account = recorded.accounts[user]
    points = account["balance"] + account["frozen_balance"] + account["pending_balance"]
    came = sum(account[name] for name in TOTALS_IN)
    went = sum(account[name] for name in TOTALS_OUT)
    lots = sum(lot["remaining"] + lot["frozen"] for lot in recorded.lots.get(user, []))
    return (points - account["debt"], points), (came - went, lots)
