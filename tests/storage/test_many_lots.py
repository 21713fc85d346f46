"""An account may have any number of lots: a debit loads those that it needs, and pays the same as ever."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from pointledger import ConfirmDeduction, Earn, Expire, Freeze, ImportOpeningBalance, Spend, Transfer
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.ledger.lots import Lot, consumption_order
from pointledger.ids import parse_id
from pointledger.observability.verify import verify
from pointledger.storage import copy as copying
from pointledger.storage.database import read_only
from pointledger.storage.ledger import lots as stored_lots
from pointledger.storage.ledger.book import load_unlocked
from pointledger.storage.ledger.program import Programs
from tests.chaos.load import RULES, TENANT, TENANT_CONFIG
from tests.chaos.model_check import differences_from_model
from tests.due import NOW
from tests.ledger import Ledger, data_of

LOTS = 2_500
FIRST = 32  # that any debit loads


def bring_lots(ledger: Ledger, first_expires_at: datetime, user: str = "anna") -> None:
    """Bring lots of 1 to 7 points, of which some expire together and some never."""
    ledger.set_program(TENANT_CONFIG, RULES)
    lots: Any = [
        {
            "amount": 1 + number % 7,
            "expires_at": None if number % 11 == 0 else first_expires_at + timedelta(minutes=number // 3),
        }
        for number in range(LOTS)
    ]
    ledger.apply(
        *(
            ImportOpeningBalance(tenant_id=TENANT, user_id=user, lots=lots[start : start + 1_000])
            for start in range(0, LOTS, 1_000)
        )
    )


def loaded(ledger: Ledger, amount: int, occurred_at: datetime = NOW) -> tuple[list[Lot], datetime | None]:
    """Return the lots that a spend loads, and from when on others may expire."""
    command = Spend(tenant_id=TENANT, user_id="anna", amount=amount)
    with read_only(ledger.database) as connection:
        book = load_unlocked(connection, Accepted(0, command, occurred_at), Programs())
    account = book.accounts[TENANT, "anna"]
    return account.lots, account.others_expire_from


def test_a_debit_loads_the_first_lots_and_few_that_it_does_not_need(ledger: Ledger) -> None:
    bring_lots(ledger, NOW + timedelta(days=10))
    everything, _ = loaded(ledger, 10**9)
    assert len(everything) == LOTS
    assert everything == sorted(everything, key=consumption_order)
    for amount in (1, 100, 129, 2_000, 9_000):
        lots, others_from = loaded(ledger, amount)
        points = [lot.remaining for lot in lots]
        needed = next(count for count in range(1, LOTS + 1) if sum(points[:count]) >= amount)
        assert lots == everything[: len(lots)]
        assert len(lots) <= max(2 * FIRST, 1.1 * needed + 2 * FIRST, FIRST)
        assert others_from == (lots[-1].expires_at if len(lots) < LOTS else None)


def test_a_debit_loads_every_lot_that_is_due(ledger: Ledger) -> None:
    bring_lots(ledger, NOW + timedelta(days=10))
    moment = NOW + timedelta(days=10, minutes=300)
    lots, _ = loaded(ledger, 1, moment)
    everything, _ = loaded(ledger, 10**9)
    due = [lot for lot in everything if lot.is_due(moment)]
    assert len(due) > 20 * FIRST
    assert [lot for lot in lots if lot.is_due(moment)] == due
    assert len(lots) > len(due), "and one that pays"


def test_a_command_with_many_lots_is_not_saved_in_one_round_trip(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 200,000 lots it did not end within minutes."""
    together: list[int] = []
    insert = copying._insert

    def counting(connection: Any, table: str, types: Any, columns: Any, lines: list[Any]) -> None:
        together.append(len(lines))
        insert(connection, table, types, columns, lines)

    bring_lots(ledger, NOW + timedelta(days=10))
    monkeypatch.setattr(copying, "_insert", counting)
    monkeypatch.setattr(stored_lots, "_UPDATED_AT_ONCE", 700)
    outcomes = ledger.apply(
        Spend(tenant_id=TENANT, user_id="anna", amount=1),
        Spend(tenant_id=TENANT, user_id="anna", amount=9_000),
    )
    assert [outcome.state for outcome in outcomes] == ["applied", "applied"]
    assert max(together, default=0) <= 256
    assert verify(ledger.database).violations == 0


def test_debits_from_many_lots_are_what_the_model_says(ledger: Ledger) -> None:
    bring_lots(ledger, NOW + timedelta(days=10))
    who: dict[str, Any] = {"tenant_id": TENANT, "user_id": "anna"}
    ledger.apply(Earn(tenant_id=TENANT, user_id="ben", amount=1))
    held = ledger.apply(Freeze(**who, amount=700))[0]
    ledger.apply(
        Spend(**who, amount=3),
        Spend(**who, amount=1_500),
        Transfer(**who, to_user_id="ben", amount=900),
        ConfirmDeduction(**who, hold_id=parse_id(data_of(held)["hold_id"]), amount=650),
        Spend(**who, amount=2_000),
        Expire(**who, amount=500, strategy="pro_rata"),
        Spend(**who, amount=10**6),
        Transfer(tenant_id=TENANT, user_id="ben", to_user_id="anna", amount=901),
    )
    ledger.apply(Spend(**who, amount=ledger.balance("anna", TENANT)))
    assert ledger.balance("anna", TENANT) == 0
    assert differences_from_model(ledger.database) == []
    assert verify(ledger.database).violations == 0
