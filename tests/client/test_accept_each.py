"""Accepting many that have nothing to do with each other: what is wrong with one touches no other."""

import pytest

from pointledger import Earn
from pointledger.client.acceptor import Acceptance
from pointledger.client.receipts import Verdict
from pointledger.errors import AcceptanceBusy, IdempotencyKeyReused, LaneCountDiffers
from tests.ledger import Ledger


def earn(key: str | None = None, amount: int = 5, user_id: str = "anna") -> Earn:
    return Earn(tenant_id="shop", user_id=user_id, amount=amount, idempotency_key=key)


@pytest.fixture
def acceptance(ledger: Ledger) -> Acceptance:
    return Acceptance(ledger.database, ledger.doorbells, ledger.settings)


def test_each_has_its_verdict(ledger: Ledger, acceptance: Acceptance) -> None:
    first = earn("a")
    assert acceptance.accept_each([first]) == [Verdict(first.id, True)]
    new, again, other = earn(), earn("a"), earn("a", amount=6)
    twins = earn("b"), earn("b")
    verdicts = acceptance.accept_each([new, again, other, *twins])

    assert verdicts[:2] == [Verdict(new.id, True), Verdict(first.id, False)]
    assert isinstance(verdicts[2], IdempotencyKeyReused)
    assert verdicts[3:] == [Verdict(twins[0].id, True), Verdict(twins[0].id, False)]
    assert ledger.counts("journal", "pending", "aliases") == [3, 3, 0]


def test_the_same_object_again_is_the_same_command(ledger: Ledger, acceptance: Acceptance) -> None:
    command = earn()
    assert acceptance.accept_each([command]) == acceptance.accept_each([command])
    assert ledger.counts("journal") == [1]


def test_they_stand_in_the_order_given(ledger: Ledger, acceptance: Acceptance) -> None:
    acceptance.accept_each([earn(amount=amount) for amount in range(1, 50)])
    amounts = ledger.rows("SELECT (payload ->> 'amount')::int FROM journal ORDER BY seq")
    assert [row[0] for row in amounts] == list(range(1, 50))


def test_somebodys_open_transaction_stalls_only_its_own_twin(ledger: Ledger, acceptance: Acceptance) -> None:
    with ledger.database.connect() as connection, connection.begin():
        ledger.client.enqueue(earn("held"), connection)
        new, twin = earn(), earn("held")
        verdicts = acceptance.accept_each([new, twin])
    assert verdicts[0] == Verdict(new.id, True)
    assert isinstance(verdicts[1], AcceptanceBusy)


def test_another_number_of_lanes_is_told(ledger: Ledger) -> None:
    settings = ledger.settings.model_copy(update={"lanes": 32})
    with pytest.raises(LaneCountDiffers):
        Acceptance(ledger.database, ledger.doorbells, settings).accept_each([earn()])
    assert ledger.counts("journal") == [0]
