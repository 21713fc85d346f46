"""What was accepted first counts, whatever lane is drained first."""

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


def told(outcomes: list[Outcome]) -> list[str]:
    return [outcome.reason or outcome.state for outcome in outcomes]


def apply_first(ledger: Ledger, user: str, *commands: AnyCommand) -> list[str]:
    """Accepts the commands, drains the user's lane before all others, and then what waits."""
    task_ids = ledger.client.enqueue_many(commands)
    ledger.engine.drain(lane(ledger, user))
    ledger.drain()
    return told(ledger.client.outcomes(task_ids))


def test_a_transfer_waits_for_the_earlier_command_that_opens_its_recipients_account(shop: Ledger) -> None:
    assert apply_first(shop, SENDER, earn(RECIPIENT, 1), give()) == ["applied", "applied"]
    assert shop.balance(RECIPIENT) == 11


def test_a_transfer_waits_for_the_earlier_command_that_makes_its_recipient_active(shop: Ledger) -> None:
    shop.apply(earn(RECIPIENT, 1), status("suspended"))

    assert apply_first(shop, SENDER, status("active"), give()) == ["applied", "applied"]


def test_a_transfer_waits_for_the_earlier_command_that_makes_room_at_its_recipients(shop: Ledger) -> None:
    shop.tenant(transfer_enabled=True, max_balance=100)
    shop.apply(earn(RECIPIENT, 95))
    spend = Spend(tenant_id="shop", user_id=RECIPIENT, amount=50)

    assert apply_first(shop, SENDER, spend, give()) == ["applied", "applied"]
    assert shop.balance(RECIPIENT) == 55


def test_a_spend_waits_for_the_earlier_transfer_that_brings_the_points(shop: Ledger) -> None:
    shop.apply(earn(RECIPIENT, 1))
    spend = Spend(tenant_id="shop", user_id=RECIPIENT, amount=11)

    assert apply_first(shop, RECIPIENT, give(), spend) == ["applied", "applied"]


def test_what_a_user_sent_before_a_command_that_waits_goes_on(shop: Ledger) -> None:
    spend = Spend(tenant_id="shop", user_id=RECIPIENT, amount=31)

    assert apply_first(shop, RECIPIENT, earn(RECIPIENT, 1), give(30), spend) == ["applied"] * 3


def test_points_that_go_from_hand_to_hand_are_waited_for_at_every_hand(shop: Ledger) -> None:
    hands = [SENDER, *(f"hand-{number}" for number in range(12))]
    shop.apply(*(earn(hand, 1) for hand in hands[1:]))
    chain = [give(100, a, b) for a, b in pairwise(hands)]

    assert apply_first(shop, hands[-2], *chain) == ["applied"] * len(chain)
    assert shop.balance(hands[-1]) == 101


def test_what_was_accepted_later_does_not_help(shop: Ledger) -> None:
    assert apply_first(shop, SENDER, give(), earn(RECIPIENT, 1)) == ["RECIPIENT_NOT_FOUND", "applied"]

    spend = Spend(tenant_id="shop", user_id=RECIPIENT, amount=50)
    assert apply_first(shop, RECIPIENT, spend, give(60)) == ["INSUFFICIENT_BALANCE", "applied"]


def test_a_senders_later_commands_wait_with_the_transfer_and_others_do_not(shop: Ledger) -> None:
    neighbor = next(
        name for name in map("neighbor-{}".format, range(100_000)) if lane(shop, name) == lane(shop, SENDER)
    )
    later = Spend(tenant_id="shop", user_id=SENDER, amount=95)
    task_ids = shop.client.enqueue_many([earn(RECIPIENT, 1), give(), later, earn(neighbor, 1)])

    shop.engine.drain(lane(shop, SENDER))

    assert told(shop.client.outcomes(task_ids)) == ["pending", "pending", "pending", "applied"]
    shop.drain()
    assert told(shop.client.outcomes(task_ids)) == ["applied", "applied", "INSUFFICIENT_BALANCE", "applied"]


def test_nobody_waits_for_ever_for_what_cannot_be_applied(
    shop: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(book: Book, accepted: Accepted) -> Any:
        if accepted.command.user_id == RECIPIENT:
            raise ZeroDivisionError("a bug")
        return decide(book, accepted)

    monkeypatch.setattr(audit, "decide", fail)
    monkeypatch.setattr("pointledger.engine.batch.LONGEST_SECONDS", 0.2)
    _, task_id = shop.client.enqueue_many([earn(RECIPIENT, 1), give()])

    shop.drain()

    outcome = shop.client.outcomes([task_id])[0]
    assert outcome.reason == "RECIPIENT_NOT_FOUND"
    assert outcome.message is not None
    assert outcome.message.endswith("something that was accepted before this command still waits")
    assert told(shop.apply(earn(SENDER, 1))) == ["applied"], "and its sender goes on"


def test_who_waits_for_others_is_not_counted_as_failing(shop: Ledger) -> None:
    shop.client.enqueue_many([earn(RECIPIENT, 1), give()])

    shop.engine.drain(lane(shop, SENDER))

    assert shop.rows("SELECT attempts, dead_at FROM failures") == [(0, None)]
    shop.drain()
    assert shop.counts("failures", "pending") == [0, 0]


def test_a_refusal_for_an_unknown_recipient_stands_before_what_opens_the_account(
    shop: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account is opened, by what was accepted later, while the transfer is decided: the recorded order
    agrees with the answer, whichever it is."""
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
    assert users[0] == SENDER, "who earned before"
    is_there = users.index(RECIPIENT) < users.index(SENDER, 1)
    assert told(shop.client.outcomes([transfer])) == ["applied" if is_there else "RECIPIENT_NOT_FOUND"]


def test_what_is_asked_about_a_refusal_is_the_same_for_commands_of_an_older_program(shop: Ledger) -> None:
    task_ids = shop.client.enqueue_many([earn(RECIPIENT, 1), give()])
    with shop.owner.begin() as connection:
        connection.exec_driver_sql("UPDATE pending SET user_hash = NULL, recipient_hash = NULL")

    shop.engine.drain(lane(shop, SENDER))
    shop.drain()

    assert told(shop.client.outcomes(task_ids)) == ["applied", "applied"]
