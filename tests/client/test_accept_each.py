"""Accepting independent commands in one call: an error of one does not affect the others."""

import pytest

from pointledger import Earn
from pointledger.client.acceptor import Acceptance
from pointledger.client.group_acceptor import Alone
from pointledger.client.receipts import AcceptResult
from pointledger.errors import AcceptanceBusy, IdempotencyKeyReused, LaneCountDiffers
from pointledger.ids import show_id
from tests.ledger import Ledger


def earn(key: str | None = None, amount: int = 5, user_id: str = "anna") -> Earn:
    return Earn(tenant_id="shop", user_id=user_id, amount=amount, idempotency_key=key)


@pytest.fixture
def acceptance(ledger: Ledger) -> Acceptance:
    return Acceptance(ledger.database, ledger.doorbells, ledger.settings)


def test_each_command_has_its_result(ledger: Ledger, acceptance: Acceptance) -> None:
    first = earn("a")
    assert acceptance.accept_each([first]) == [AcceptResult(first.id, True)]
    new, again, other = earn(), earn("a"), earn("a", amount=6)
    duplicates = earn("b"), earn("b")
    results = acceptance.accept_each([new, again, other, *duplicates])

    assert results[:2] == [AcceptResult(new.id, True), AcceptResult(first.id, False)]
    assert isinstance(results[2], IdempotencyKeyReused)
    assert results[3:] == [AcceptResult(duplicates[0].id, True), AcceptResult(duplicates[0].id, False)]
    assert ledger.counts("journal", "pending", "aliases") == [3, 3, 0]


def test_the_same_object_again_is_the_same_command(ledger: Ledger, acceptance: Acceptance) -> None:
    command = earn()
    assert acceptance.accept_each([command]) == acceptance.accept_each([command])
    assert ledger.counts("journal") == [1]


def test_commands_keep_the_given_order(ledger: Ledger, acceptance: Acceptance) -> None:
    acceptance.accept_each([earn(amount=amount) for amount in range(1, 50)])
    amounts = ledger.rows("SELECT (payload ->> 'amount')::int FROM journal ORDER BY seq")
    assert [row[0] for row in amounts] == list(range(1, 50))


def test_an_open_transaction_with_the_same_key_blocks_only_its_duplicate(
    ledger: Ledger, acceptance: Acceptance
) -> None:
    with ledger.database.connect() as connection, connection.begin():
        ledger.client.enqueue(earn("held"), connection)
        new, duplicate = earn(), earn("held")
        assert acceptance.accept_each([new, duplicate]) == [Alone(), Alone()]
        assert acceptance.accept_alone(new, Alone()) == AcceptResult(new.id, True)
        with pytest.raises(AcceptanceBusy, match=show_id(duplicate.id)):
            acceptance.accept_alone(duplicate, Alone())


def test_a_client_with_another_number_of_lanes_gets_an_error(ledger: Ledger) -> None:
    settings = ledger.settings.model_copy(update={"lanes": 32})
    acceptance = Acceptance(ledger.database, ledger.doorbells, settings)
    assert {type(result) for result in acceptance.accept_each([earn(), earn()])} == {LaneCountDiffers}
    with pytest.raises(LaneCountDiffers):
        acceptance.accept_alone(earn(), Alone())
    assert ledger.counts("journal") == [0]
