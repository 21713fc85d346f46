"""The order of acceptance decides, whichever lane a worker drains first."""

from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

import pytest

from pointledger import AnyCommand, Earn, Outcome, SetStatus, Spend, Transfer
from pointledger.domain.commands.accepted import Accepted
from pointledger.domain.commands.records import lane_of
from pointledger.domain.decisions import audit
from pointledger.domain.decisions.decide import decide
from pointledger.domain.ledger.book import Book
from pointledger.engine import precedence
from tests.ledger import Ledger

SENDER, RECIPIENT = "anna", "ben"


def lane(ledger: Ledger, user: str) -> int:
    return lane_of("shop", user, ledger.settings.lanes)


@pytest.fixture
def shop(ledger: Ledger) -> Ledger:
    ledger.tenant(transfer_enabled=True)
    assert lane(ledger, SENDER) != lane(ledger, RECIPIENT)
    ledger.apply(earn(SENDER, 100))
    return ledger


def earn(user: str, amount: int) -> Earn:
    return Earn(tenant_id="shop", user_id=user, amount=amount)


def give(amount: int = 10, sender: str = SENDER, recipient: str = RECIPIENT) -> Transfer:
    return Transfer(tenant_id="shop", user_id=sender, to_user_id=recipient, amount=amount)


def status(now: Literal["active", "suspended"]) -> SetStatus:
    return SetStatus(tenant_id="shop", user_id=RECIPIENT, status=now, reason="a test")


def results(outcomes: list[Outcome]) -> list[str]:
    return [outcome.reason or outcome.state for outcome in outcomes]


def apply_first(ledger: Ledger, user: str, *commands: AnyCommand) -> list[str]:
    """Accept the commands, drain the user's lane first, and then all others."""
    task_ids = ledger.client.enqueue_many(commands)
    ledger.drain_only(lane(ledger, user))
    ledger.drain()
    return results(ledger.client.outcomes(task_ids))


def test_a_transfer_waits_for_the_earlier_command_that_opens_its_recipients_account(shop: Ledger) -> None:
    assert apply_first(shop, SENDER, earn(RECIPIENT, 1), give()) == ["applied", "applied"]
    assert shop.balance(RECIPIENT) == 11


def test_a_transfer_waits_for_the_earlier_command_that_makes_its_recipient_active(shop: Ledger) -> None:
    shop.apply(earn(RECIPIENT, 1), status("suspended"))

    assert apply_first(shop, SENDER, status("active"), give()) == ["applied", "applied"]


def test_a_transfer_waits_for_the_earlier_command_that_makes_room_in_its_recipients_account(
    shop: Ledger,
) -> None:
    shop.tenant(transfer_enabled=True, max_balance=100)
    shop.apply(earn(RECIPIENT, 95))
    spend = Spend(tenant_id="shop", user_id=RECIPIENT, amount=50)

    assert apply_first(shop, SENDER, spend, give()) == ["applied", "applied"]
    assert shop.balance(RECIPIENT) == 55


def test_a_spend_waits_for_the_earlier_transfer_that_brings_the_points(shop: Ledger) -> None:
    shop.apply(earn(RECIPIENT, 1))
    spend = Spend(tenant_id="shop", user_id=RECIPIENT, amount=11)

    assert apply_first(shop, RECIPIENT, give(), spend) == ["applied", "applied"]


@pytest.mark.parametrize("is_alone", [False, True])
def test_a_command_that_waits_has_not_crashed(shop: Ledger, is_alone: bool) -> None:
    """Else one that is applied alone, because it has failed before, would fail once more."""
    shop.client.enqueue_many([earn(RECIPIENT, 1), give()])
    _, peeked = shop.engine._peek({lane(shop, SENDER): 100})
    suspects = {("shop", SENDER)} if is_alone else set()

    assert shop.engine._batches.apply(replace(peeked, crash_suspects=suspects)) == 0

    assert shop.rows("SELECT FROM lanes WHERE attempts > 0 OR alone_id IS NOT NULL") == []


def test_commands_before_a_waiting_command_of_the_same_user_apply(shop: Ledger) -> None:
    spend = Spend(tenant_id="shop", user_id=RECIPIENT, amount=31)

    assert apply_first(shop, RECIPIENT, earn(RECIPIENT, 1), give(30), spend) == ["applied"] * 3


def test_each_transfer_in_a_chain_waits_for_the_one_before(shop: Ledger) -> None:
    users = [SENDER, *(f"user-{number}" for number in range(12))]
    shop.apply(*(earn(user, 1) for user in users[1:]))
    chain = [give(100, a, b) for a, b in pairwise(users)]

    assert apply_first(shop, users[-2], *chain) == ["applied"] * len(chain)
    assert shop.balance(users[-1]) == 101


def test_a_refusal_does_not_wait_for_later_commands(shop: Ledger) -> None:
    assert apply_first(shop, SENDER, give(), earn(RECIPIENT, 1)) == ["RECIPIENT_NOT_FOUND", "applied"]

    spend = Spend(tenant_id="shop", user_id=RECIPIENT, amount=50)
    assert apply_first(shop, RECIPIENT, spend, give(60)) == ["INSUFFICIENT_BALANCE", "applied"]


def test_a_senders_later_commands_wait_with_the_transfer_and_others_do_not(shop: Ledger) -> None:
    neighbor = next(
        name for name in map("neighbor-{}".format, range(100_000)) if lane(shop, name) == lane(shop, SENDER)
    )
    later = Spend(tenant_id="shop", user_id=SENDER, amount=95)
    task_ids = shop.client.enqueue_many([earn(RECIPIENT, 1), give(), later, earn(neighbor, 1)])

    shop.drain_only(lane(shop, SENDER))

    assert results(shop.client.outcomes(task_ids)) == ["pending", "pending", "pending", "applied"]
    shop.drain()
    assert results(shop.client.outcomes(task_ids)) == [
        "applied",
        "applied",
        "INSUFFICIENT_BALANCE",
        "applied",
    ]


def test_the_wait_for_a_failing_command_is_bounded(shop: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(book: Book, accepted: Accepted) -> Any:
        if accepted.command.user_id == RECIPIENT:
            raise ZeroDivisionError("a bug")
        return decide(book, accepted)

    monkeypatch.setattr(audit, "decide", fail)
    monkeypatch.setattr("pointledger.engine.failures.LONGEST_SECONDS", 0.2)
    _, task_id = shop.client.enqueue_many([earn(RECIPIENT, 1), give()])

    shop.drain()

    outcome = shop.client.outcomes([task_id])[0]
    assert outcome.reason == "RECIPIENT_NOT_FOUND"
    assert outcome.message is not None
    assert outcome.message.endswith("a command that was accepted earlier is still pending")
    assert results(shop.apply(earn(SENDER, 1))) == ["applied"], "later commands of its sender apply"


def test_a_command_that_waits_for_others_does_not_count_as_failing(shop: Ledger) -> None:
    shop.client.enqueue_many([earn(RECIPIENT, 1), give()])

    shop.drain_only(lane(shop, SENDER))

    assert shop.rows("SELECT attempts, dead_at FROM failures") == [(0, None)]
    shop.drain()
    assert shop.counts("failures", "pending") == [0, 0]


def test_a_refusal_for_an_unknown_recipient_precedes_the_command_that_opens_the_account(
    shop: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later command opens the account during the decision, and the recorded order matches the outcome."""
    real = precedence.settle
    opened: list[bool] = []

    def settle(*given: Any, **named: Any) -> Any:
        if not opened:
            opened.append(True)
            shop.client.enqueue(earn(RECIPIENT, 1))
            with Ledger(shop.settings) as other:
                other.engine.drain(lane(shop, RECIPIENT))
        return real(*given, **named)

    monkeypatch.setattr("pointledger.engine.batch.settle", settle)
    transfer = shop.client.enqueue(give())
    shop.drain()

    users = [
        user
        for (user,) in shop.rows("SELECT user_id FROM outcomes JOIN journal USING (id) ORDER BY batch, place")
    ]
    assert users[0] == SENDER, "the fixture's earn"
    is_there = users.index(RECIPIENT) < users.index(SENDER, 1)
    assert results(shop.client.outcomes([transfer])) == ["applied" if is_there else "RECIPIENT_NOT_FOUND"]


def test_precedence_also_works_for_pending_rows_of_older_versions(shop: Ledger) -> None:
    task_ids = shop.client.enqueue_many([earn(RECIPIENT, 1), give()])
    with shop.owner.begin() as connection:
        connection.exec_driver_sql("UPDATE pending SET user_hash = NULL, recipient_hash = NULL")

    shop.drain_only(lane(shop, SENDER))
    shop.drain()

    assert results(shop.client.outcomes(task_ids)) == ["applied", "applied"]
