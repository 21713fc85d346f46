"""Several workers keep the order per user and conserve value, with and without Redis locks."""

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg import OperationalError

from pointledger import AnyCommand, ApplyRule, Earn, Spend, Transfer
from pointledger.domain.commands.accepted import Accepted
from pointledger.engine import drain
from pointledger.engine.drain import _without
from pointledger.engine.locks import Locks
from pointledger.engine.peeked import Peeked
from pointledger.messaging.contract import LANES_QUEUE, waiting_key
from pointledger.settings import Settings
from tests.engine.many_workers import SECONDS, at_once, drain_with
from tests.lanes import user_in
from tests.ledger import Ledger, data_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_users_commands_are_applied_in_the_order_of_acceptance(settings: Settings) -> None:
    with Ledger(settings.model_copy(update={"batch_size": 7})) as ledger:
        ledger.tenant()
        users = [f"user-{number}" for number in range(12)]
        sent: dict[str, list[str]] = {user: [] for user in users}
        for _ in range(20):
            commands = [Earn(tenant_id="shop", user_id=random.choice(users), amount=1) for _ in range(30)]
            for command, task_id in zip(commands, ledger.client.enqueue_many(commands), strict=True):
                sent[command.user_id].append(task_id)

        drain_with(ledger, 4)

        for user in users:
            applied = [entry["command_id"] for entry in reversed(all_entries(ledger, user))]
            assert applied == sent[user]


def all_entries(ledger: Ledger, user: str) -> list[dict[str, str]]:
    found = ledger.entries(user)
    while page := ledger.entries(user, before=int(found[-1]["seq"])):
        found += page
    return found


def test_t2_transfers_back_and_forth_do_not_deadlock_and_conserve_the_total(settings: Settings) -> None:
    with Ledger(settings.model_copy(update={"batch_size": 50})) as ledger:
        ledger.tenant(transfer_enabled=True)
        users = [f"user-{number}" for number in range(5)]
        ledger.apply(*(Earn(tenant_id="shop", user_id=user, amount=100) for user in users))
        commands = []
        for _ in range(1000):
            source, destination = random.sample(users, 2)
            amount = random.randint(1, 60)
            commands.append(Transfer(tenant_id="shop", user_id=source, to_user_id=destination, amount=amount))
        ledger.client.enqueue_many(commands)

        drain_with(ledger, 2)

        assert sum(ledger.balance(user) for user in users) == 500
        states = dict(ledger.rows("SELECT state, count(*) FROM outcomes GROUP BY state"))
        assert states["applied"] + states.get("refused", 0) == 1005
        assert ledger.counts("failures", "pending") == [0, 0]


def test_t3_of_twenty_concurrent_transfers_of_everything_one_succeeds(settings: Settings) -> None:
    with Ledger(settings.model_copy(update={"batch_size": 2})) as ledger:
        ledger.tenant(transfer_enabled=True)
        friends = [f"friend-{number}" for number in range(20)]
        opened = [Earn(tenant_id="shop", user_id=user, amount=1) for user in friends]
        ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=70), *opened)

        def give(friend: str) -> AnyCommand:
            return Transfer(tenant_id="shop", user_id="anna", to_user_id=friend, amount=70)

        task_ids = sent_at_once(ledger, [give(friend) for friend in friends])
        drain_with(ledger, 4)

        reasons = Counter(outcome.reason for outcome in ledger.client.outcomes(task_ids))
        assert reasons == {None: 1, "INSUFFICIENT_BALANCE": 19}
        assert sorted(ledger.balance(user) for user in ("anna", *friends)) == [0] + [1] * 19 + [71]


def test_l8_events_that_race_for_the_last_points_never_exceed_the_limit(settings: Settings) -> None:
    with Ledger(settings.model_copy(update={"batch_size": 2})) as ledger:
        ledger.tenant()
        ledger.rule(name="visit", event_type="visit", points=10, daily_limit=35)
        visit: dict[str, Any] = {
            "tenant_id": "shop",
            "user_id": "anna",
            "event_type": "visit",
            "occurred_at": NOON,
        }
        task_ids = sent_at_once(ledger, [ApplyRule(**visit) for _ in range(12)])
        drain_with(ledger, 4)

        granted = [data_of(outcome)["points_earned"] for outcome in ledger.client.outcomes(task_ids)]
        assert sorted(granted) == [0] * 8 + [5, 10, 10, 10]
        assert ledger.balance("anna") == 35


def sent_at_once(ledger: Ledger, commands: list[AnyCommand]) -> list[str]:
    """Enqueue each command from its own thread, all at the same moment, and return the task ids."""
    barrier = threading.Barrier(len(commands))

    def send(command: AnyCommand) -> str:
        barrier.wait(SECONDS)
        return ledger.client.enqueue(command)

    with ThreadPoolExecutor(len(commands)) as callers:
        return list(callers.map(send, commands))


def test_a_hundred_concurrent_spends_spend_exactly_the_balance(settings: Settings) -> None:
    with Ledger(settings.model_copy(update={"batch_size": 3})) as ledger:
        ledger.tenant()
        ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=70))

        def spend() -> None:
            for _ in range(25):
                ledger.client.enqueue(Spend(tenant_id="shop", user_id="anna", amount=3))

        at_once(*[spend] * 4)

        drain_with(ledger, 4)

        assert ledger.balance("anna") == 1
        states = dict(ledger.rows("SELECT coalesce(reason, state), count(*) FROM outcomes GROUP BY 1"))
        assert states == {"applied": 1 + 23, "INSUFFICIENT_BALANCE": 77}


def test_only_one_worker_gets_a_lane_unless_every_lock_is_granted(ledger: Ledger, granted: bool) -> None:
    first, second = Locks(ledger.redis, ledger.settings), Locks(ledger.redis, ledger.settings)
    assert first.take_lanes(0, "first").lanes == [0]
    assert (0 in second.take_lanes(0, "second").lanes) == granted


@pytest.mark.locks
def test_a_worker_leaves_a_taken_lane_and_its_holder_checks_it_again(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=1))
    (lane,) = ledger.waiting_lanes()
    first, second = Locks(ledger.redis, ledger.settings), Locks(ledger.redis, ledger.settings)
    assert first.take_lanes(lane, "first").lanes == [lane]

    assert ledger.engine.drain(lane) == 0, "the lane is taken"

    assert first.next_lanes("first", "next", None, ()).lanes == [lane], "a doorbell has rung"
    assert first.next_lanes("next", "last", None, ()).lanes == [], "no doorbell has rung since"
    assert second.take_lanes(lane, "second").lanes == [lane]
    second.return_lanes([lane], "second", ())
    assert ledger.engine.drain(lane) == 1


@pytest.mark.locks
def test_a_user_locked_by_another_worker_delays_only_commands_that_involve_the_user(ledger: Ledger) -> None:
    ledger.tenant(transfer_enabled=True)
    ledger.apply(
        *(Earn(tenant_id="shop", user_id=user, amount=10) for user in ("anna", "ben", "carl", "dora"))
    )
    elsewhere = Locks(ledger.redis, ledger.settings)
    elsewhere.acquire_users([0], [("shop", "ben")], "elsewhere")
    transfer = Transfer(tenant_id="shop", user_id="anna", to_user_id="ben", amount=1)
    later = Spend(tenant_id="shop", user_id="anna", amount=1)
    (transfer_id, later_id) = ledger.client.enqueue_many([transfer, later])
    (lane,) = ledger.waiting_lanes()

    batch = ledger.engine._peek({lane: 100})[1].batch
    users = sorted({("shop", "anna"), ("shop", "ben")})
    busy = Locks(ledger.redis, ledger.settings).acquire_users([lane], users, "here")
    assert busy == {("shop", "ben")}
    assert [accepted.command.kind for accepted in batch] == ["transfer", "spend"]

    # No user starves: after a short wait the row locks alone decide.
    Locks(ledger.redis, ledger.settings).release_users(users, "here")
    assert ledger.engine.drain(lane) == 2
    states = [outcome.state for outcome in ledger.client.outcomes([transfer_id, later_id])]
    assert states == ["applied", "applied"]


def test_commands_that_involve_a_busy_user_wait_with_their_senders_later_commands() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    commands: list[AnyCommand] = [
        Transfer(tenant_id="shop", user_id="anna", to_user_id="ben", amount=1),
        Spend(tenant_id="shop", user_id="anna", amount=1),
        Spend(tenant_id="shop", user_id="carl", amount=1),
        Spend(tenant_id="other", user_id="ben", amount=1),
        Transfer(tenant_id="shop", user_id="carl", to_user_id="anna", amount=1),
    ]
    batch = [Accepted(seq, command, at) for seq, command in enumerate(commands)]
    assert [accepted.seq for accepted in _without(batch, {("shop", "ben")})] == [2, 3, 4]
    assert [accepted.seq for accepted in _without(batch, {("shop", "anna")})] == [2, 3]
    assert _without(batch, set()) == batch


def test_the_first_of_two_commands_with_one_key_in_a_call_counts(ledger: Ledger) -> None:
    ledger.tenant()
    for attempt in range(20):  # ids of the same millisecond are unordered
        user = f"user-{attempt}"
        first = Earn(tenant_id="shop", user_id=user, amount=100, idempotency_key=f"k{attempt}")
        again = Earn(tenant_id="shop", user_id=user, amount=100, idempotency_key=f"k{attempt}")
        outcomes = ledger.apply(first, Spend(tenant_id="shop", user_id=user, amount=100), again)
        assert [outcome.state for outcome in outcomes] == ["applied"] * 3
        assert ledger.balance(user) == 0


@pytest.mark.locks
@pytest.mark.parametrize("fails", [False, True])
def test_what_rings_during_the_last_batch_of_a_time_slice_gets_a_doorbell(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    ledger.tenant()
    lanes = ledger.settings.lanes
    monkeypatch.setattr(drain, "_TIME_SLICE_SECONDS", 0.0)
    monkeypatch.setattr(drain, "_ATTEMPTS", 1)
    ledger.client.enqueue(Earn(tenant_id="shop", user_id=user_in(1, "shop", lanes), amount=1))
    queue = f"{ledger.settings.redis_prefix}:{LANES_QUEUE}"
    ledger.redis.delete(queue)
    apply = ledger.engine._batches.apply

    def apply_while_another_comes(peeked: Peeked) -> int:
        ledger.client.enqueue(Earn(tenant_id="shop", user_id=user_in(2, "shop", lanes), amount=1))
        if fails:
            raise OperationalError("no connection")
        return apply(peeked)

    monkeypatch.setattr(ledger.engine._batches, "apply", apply_while_another_comes)
    with pytest.raises(OperationalError) if fails else nullcontext():
        ledger.engine.drain(1)

    assert ledger.redis.llen(queue) == 1
    assert ledger.redis.sismember(waiting_key(ledger.settings.redis_prefix), "2")
