"""Queries of holds: pages of a user's holds, and one hold with its lots."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pointledger import ConfirmDeduction, Earn, Freeze, Unfreeze
from pointledger.errors import AccountMissing, HoldMissing, InvalidCommand
from pointledger.ids import new_id, parse_id, show_id
from tests.ledger import Ledger, data_of

LATER = datetime.now(UTC) + timedelta(days=30)
ANNA: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}


def test_a_users_holds_are_listed_by_state_and_page_newest_first(ledger: Ledger) -> None:
    ledger.apply(Earn(**ANNA, amount=100))
    frozen = ledger.apply(*(Freeze(**ANNA, amount=amount, reason=f"{amount}") for amount in (1, 2, 3, 4)))
    ids = [data_of(outcome)["hold_id"] for outcome in frozen]
    ledger.apply(Unfreeze(**ANNA, hold_id=ids[0]), ConfirmDeduction(**ANNA, hold_id=ids[1]))

    page = ledger.client.holds("shop", "anna")

    assert [hold["amount"] for hold in page.holds] == [4, 3, 2, 1]
    assert [hold["state"] for hold in page.holds] == ["open", "open", "captured", "released"]
    assert (page.holds[0]["id"], page.holds[0]["reason"], page.next_before) == (ids[3], "4", None)
    for state, amounts in (("open", [4, 3]), ("captured", [2]), ("timed_out", []), ("released", [1])):
        found = ledger.client.holds("shop", "anna", state=state)
        assert [hold["amount"] for hold in found.holds] == amounts
    for open_or_any in ("open", None):
        first = ledger.client.holds("shop", "anna", state=open_or_any, limit=1)
        second = ledger.client.holds("shop", "anna", state=open_or_any, limit=1, before=first.next_before)
        assert [first.holds[0]["amount"], second.holds[0]["amount"]] == [4, 3]
    with pytest.raises(AccountMissing):
        ledger.client.holds("shop", "nobody")


def test_a_hold_shows_its_lots_and_what_it_still_holds(ledger: Ledger) -> None:
    ledger.apply(Earn(**ANNA, amount=10, expires_at=LATER), Earn(**ANNA, amount=10))
    (frozen,) = ledger.apply(Freeze(**ANNA, amount=15, expires_at=LATER))
    hold_id = data_of(frozen)["hold_id"]
    ledger.apply(Unfreeze(**ANNA, hold_id=hold_id, amount=5))

    hold = ledger.client.hold("shop", hold_id)

    assert (hold["user_id"], hold["state"], hold["amount"], hold["held"]) == ("anna", "open", 15, 10)
    assert [(lot["amount"], lot["held"]) for lot in hold["lots"]] == [(10, 10), (5, 0)]
    assert sum(lot["held"] for lot in hold["lots"]) == ledger.account("anna")["frozen_balance"]
    assert parse_id(hold["command_id"]) == parse_id(frozen.task_id)
    with pytest.raises(HoldMissing):
        ledger.client.hold("shop", show_id(new_id()))
    with pytest.raises(InvalidCommand, match="hold_id"):
        ledger.client.hold("shop", "x")
