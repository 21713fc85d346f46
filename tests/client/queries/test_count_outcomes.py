"""Counts say of many commands what their outcomes say one by one, and read none of them."""

from collections import Counter
from typing import Any

import pytest

from pointledger import OutcomeCounts, Spend
from pointledger.cli.commands.replay import replay
from pointledger.errors import InvalidCommand
from pointledger.ids import new_id, show_id
from tests.client.accepting import earn
from tests.ledger import Ledger
from tests.observability.test_dead import die
from tests.working import working


def counted(ledger: Ledger, task_ids: list[str]) -> OutcomeCounts:
    """Count from the outcomes themselves."""
    outcomes = ledger.client.outcomes(task_ids)
    states = Counter(outcome.state for outcome in outcomes)
    return OutcomeCounts(
        applied=states["applied"],
        refused=dict(Counter(outcome.reason or "" for outcome in outcomes if outcome.state == "refused")),
        dead=states["dead"],
        pending=tuple(outcome.task_id for outcome in outcomes if outcome.state in ("pending", "unknown")),
        points_earned=sum((outcome.data or {}).get("points_earned", 0) for outcome in outcomes),
    )


def test_counts_say_what_the_outcomes_say(ledger: Ledger) -> None:
    ledger.tenant()
    first = earn(7, idempotency_key="k")
    batch = ledger.client.batch_earn("shop", [("anna", 3), ("anna", -3)], idempotency_key="b")
    sent: list[Any] = [
        first,
        *(Spend(tenant_id="shop", user_id=user, amount=9_999) for user in ("anna", "nobody", "nobody")),
        *(earn(number + 1) for number in range(20)),
    ]
    task_ids = [*ledger.client.enqueue_many(sent), *batch.task_ids]
    ledger.drain()
    [dead] = die(ledger, earn(user_id="dead"))
    repetition = ledger.client.enqueue(earn(7, idempotency_key="k"))
    waiting = ledger.client.enqueue_many([earn(number + 1, user_id="later") for number in range(3)])
    unknown = show_id(new_id())
    task_ids = [waiting[0], *task_ids, dead, repetition, unknown, *waiting[1:], task_ids[0]]

    counts = ledger.client.count_outcomes(task_ids)
    assert counts == counted(ledger, task_ids)
    assert counts.pending == (waiting[0], unknown, *waiting[1:])
    assert (counts.dead, counts.refused["INVALID_COMMAND"], counts.refused["ACCOUNT_NOT_FOUND"]) == (1, 1, 2)
    assert counts.points_earned == 7 * 3 + 3 + sum(range(1, 21))


def test_no_commands_have_empty_counts_and_a_malformed_id_is_an_error(ledger: Ledger) -> None:
    assert ledger.client.count_outcomes([]) == OutcomeCounts(0, {}, 0, (), 0)
    with pytest.raises(InvalidCommand, match="task_id"):
        ledger.client.count_outcomes(["no id"])


def test_a_replay_that_waits_and_the_outcome_of_a_batch_read_no_single_outcome(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("an outcome is read")

    ledger.tenant()
    line = b'{"kind": "earn", "tenant_id": "shop", "user_id": "user-%d", "amount": 1}'
    monkeypatch.setattr("pointledger.storage.queries.outcomes._outcome", fail)
    with working(ledger):
        report = replay(ledger.client, [line % number for number in range(1_500)], wait=True)
    assert (report.applied, report.pending) == (1_500, 0)
    batch = ledger.client.batch_earn("shop", [("anna", 3), ("ben", -3)], idempotency_key="b")
    ledger.drain()
    whole = ledger.client.batch_outcome(batch.batch_id)
    assert (whole.state, whole.applied, whole.refused) == ("done", 1, {"INVALID_COMMAND": 1})
