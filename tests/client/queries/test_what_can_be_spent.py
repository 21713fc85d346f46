"""For any history, the balance that a query shows can be spent, and not one point more."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointledger import Clawback
from pointledger.domain.commands import AnyCommand
from pointledger.ids import parse_id
from pointledger.storage.queries.current import FIGURES
from tests.due import LONG_AGO, earn, freeze, recorded, spend
from tests.ledger import Ledger

_EXAMPLES = int(os.environ.get("POINTLEDGER_TEST_EXAMPLES", "15"))
_tenants = (f"shop-{number}" for number in count())

# Days until the points of a step expire or activate, or its hold times out.
DAYS = st.none() | st.integers(1, 60) | st.integers(120, 130)
FEW = st.integers(1, 3)  # points


@dataclass(frozen=True)
class Step:
    """A command of a user on a day of the history."""

    day: int
    command: Callable[..., Any]
    amount: int
    expires: int | None = None
    activates: int | None = None

    def of(self, tenant: str, user: str) -> AnyCommand:
        at = LONG_AGO + timedelta(days=self.day)
        activates_at = _later(at, self.activates)
        moments = {"expires_at": _later(activates_at or at, self.expires), "activates_at": activates_at}
        given = {name: moment for name, moment in moments.items() if moment}
        command: AnyCommand = self.command(user, self.amount, tenant_id=tenant, occurred_at=at, **given)
        return command


def _later(at: datetime, days: int | None) -> datetime | None:
    return None if days is None else at + timedelta(days=days)


def steps(first_day: int) -> st.SearchStrategy[list[Step]]:
    days = st.integers(first_day, first_day + 30)
    earned = st.builds(Step, days, st.just(earn), FEW, DAYS, DAYS)
    held = st.builds(Step, days, st.just(freeze), FEW, DAYS)
    spent = st.builds(Step, days, st.just(spend), FEW)
    return st.lists(st.one_of(earned, held, spent), min_size=1, max_size=6)


TENANTS = st.fixed_dictionaries(
    {"hold_grace_days": st.sampled_from([0, 2, 200]), "expire_enabled": st.sampled_from([True, True, False])}
)


@given(tenant=TENANTS, before=steps(0), claws_back=st.booleans(), after=steps(30))
@settings(
    max_examples=_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_shown_balance_can_be_spent_and_not_one_point_more(
    ledger: Ledger, tenant: dict[str, Any], before: list[Step], claws_back: bool, after: list[Step]
) -> None:
    shop = next(_tenants)
    ledger.tenant(shop, **tenant)

    def apply_history(users: list[str]) -> None:
        """Apply the history to these users."""
        opened = Step(0, earn, 1)
        for part in ([opened, *_in_order(before)], _in_order(after)):
            ledger.apply(*(step.of(shop, user) for user in users for step in part))
            if claws_back and part[:1] == [opened]:
                ledger.apply(*(_claw_back(ledger, shop, user) for user in users))

    apply_history(["anna"])
    balance = ledger.client.account(shop, "anna")["balance"]
    copies = [f"copy{amount}" for amount in range(1, balance + 2)]
    apply_history(copies)

    assert [ledger.client.account(shop, copy)["balance"] for copy in copies] == [balance] * len(copies)
    listed = ledger.client.accounts(shop)
    assert [account["balance"] for account in listed] == [balance] * (1 + len(copies))
    assert ledger.client.tenant_statistics(shop)["totals"]["balance"] == balance * (1 + len(copies))
    outcomes = ledger.apply(*(spend(copy, amount, tenant_id=shop) for amount, copy in enumerate(copies, 1)))
    assert [outcome.state for outcome in outcomes] == ["applied"] * balance + ["refused"]
    assert outcomes[-1].reason == "INSUFFICIENT_BALANCE"
    assert {name: listed[0][name] for name in FIGURES} == recorded(ledger, copies[-1], shop)


def _in_order(steps: list[Step]) -> list[Step]:
    return sorted(steps, key=lambda step: step.day)


def _claw_back(ledger: Ledger, shop: str, user: str) -> AnyCommand:
    """Return a clawback of the oldest points, in arrears."""
    earned = ledger.entries(user, shop)[-1]
    at = LONG_AGO + timedelta(days=30)
    return Clawback(
        tenant_id=shop, user_id=user, related_id=parse_id(earned["id"]), policy="arrears", occurred_at=at
    )
