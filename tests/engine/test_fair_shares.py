"""Tenants share a lane fairly: the backlog of one delays another by a batch at most."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from pointledger import Earn, ImportOpeningBalance, Spend
from pointledger.domain.commands.accounts import OpeningLot
from pointledger.engine import decide_time
from pointledger.engine.locks import Locks
from pointledger.messaging.contract import ahead_key
from pointledger.settings import Settings
from pointledger.storage import database
from pointledger.storage.database import limited_engine_for, transaction
from pointledger.storage.queue import peek as peek_module
from pointledger.storage.queue.peek import Peek
from tests.due import LATER
from tests.lanes import user_in
from tests.ledger import Ledger

BATCH = 10


@pytest.fixture
def shared(settings: Settings, one_lane: None) -> Iterator[Ledger]:
    """A ledger with one lane and small batches, and two tenants."""
    with Ledger(settings.model_copy(update={"lanes": 1, "batch_size": BATCH})) as ledger:
        ledger.tenant("big")
        ledger.tenant("shop")
        yield ledger


def earns(tenant_id: str, count: int) -> list[Earn]:
    return [Earn(tenant_id=tenant_id, user_id=f"user-{number}", amount=1) for number in range(count)]


def imports(count: int, lots: int) -> list[ImportOpeningBalance]:
    given = (OpeningLot(amount=1, expires_at=LATER),) * lots
    return [ImportOpeningBalance(tenant_id="big", user_id=f"u{n}", lots=given) for n in range(count)]


def peek(ledger: Ledger, limit: int = BATCH, after: int | None = None, *, is_hurried: bool = False) -> Peek:
    with transaction(limited_engine_for(ledger.settings), ledger.settings) as connection:
        return peek_module.peek(connection, {0: limit}, {0: after}, is_hurried=is_hurried)[0]


def tenants_of(found: Peek) -> list[str]:
    return [command.tenant_id for command in found.commands]


def test_the_next_batch_takes_the_same_from_each_tenant_that_waits(shared: Ledger) -> None:
    shared.client.enqueue_many(earns("big", 100))
    shared.client.enqueue_many(earns("shop", 7))
    assert sorted(tenants_of(peek(shared))) == ["big"] * 5 + ["shop"] * 5


def test_what_a_tenant_does_not_need_goes_to_the_others(shared: Ledger) -> None:
    shared.client.enqueue_many(earns("big", 100))
    shared.client.enqueue_many(earns("shop", 2))
    found = peek(shared)
    assert tenants_of(found) == ["big", "shop", "big", "shop"] + ["big"] * 6
    seqs = [command.seq for command in found.commands if command.tenant_id == "big"]
    assert seqs == sorted(seqs), "a tenant's in the order of acceptance"
    assert not found.is_all


def test_a_tenant_alone_gets_the_whole_batch(shared: Ledger) -> None:
    shared.client.enqueue_many(earns("big", 100))
    assert tenants_of(peek(shared)) == ["big"] * BATCH
    assert peek(shared, 101).is_all
    assert not peek(shared, 100).is_all, "another one may wait"


def test_a_batch_that_takes_too_long_still_has_a_command_of_each_tenant(shared: Ledger) -> None:
    """Dear rules can make a lane's batches as small as one command."""
    shared.client.enqueue_many(earns("big", 100))
    shared.client.enqueue_many(earns("shop", 7))
    assert tenants_of(peek(shared, 1)) == ["big", "shop"]


def test_a_tenant_with_a_few_commands_is_not_busy_however_small_the_batch_is(shared: Ledger) -> None:
    """Else its commands would no longer go before the backlog of a tenant with dear rules."""
    shared.client.enqueue_many(earns("big", 100))
    shared.client.enqueue_many(earns("shop", 7))
    assert [peek(shared, limit).busy for limit in (1, 4, 40)] == [{"big"}] * 3


def test_a_hurried_batch_is_for_tenants_with_few_commands(shared: Ledger) -> None:
    shared.client.enqueue_many(earns("big", 100))
    shared.client.enqueue_many(earns("shop", 7))
    found = peek(shared, 40, is_hurried=True)
    assert (tenants_of(found), found.is_all) == (["shop"] * 7, False)


def test_a_hurried_batch_without_such_tenants_has_one_command(shared: Ledger) -> None:
    """An empty one would count as a crash, because the lane's row notes each attempt."""
    shared.client.enqueue_many(earns("big", 100))
    found = peek(shared, 40, is_hurried=True)
    assert (tenants_of(found), found.is_all) == (["big"], False)


def test_turns_count_what_commands_cost(shared: Ledger) -> None:
    shared.client.enqueue_many(imports(9, lots=5))
    shared.client.enqueue_many(earns("shop", 100))
    assert tenants_of(peek(shared)) == ["shop"] * 4 + ["big", "shop"], "an import is five earns"


def test_a_command_that_costs_more_than_a_batch_is_a_batch_of_its_own(shared: Ledger) -> None:
    lots = (OpeningLot(amount=1, expires_at=LATER),) * 200
    shared.client.enqueue(ImportOpeningBalance(tenant_id="big", user_id="anna", lots=lots))
    shared.client.enqueue_many(earns("big", 3))
    assert [command.kind for command in peek(shared).commands] == ["import-opening-balance"]
    shared.drain()
    assert shared.balance("anna", "big") == 200


def test_a_users_commands_stay_in_order(shared: Ledger) -> None:
    shared.client.enqueue_many(earns("big", 50))
    fields: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna", "amount": 5}
    ids = shared.client.enqueue_many([kind(**fields) for _ in range(20) for kind in (Earn, Spend)])
    shared.drain()
    assert {outcome.state for outcome in shared.client.outcomes(ids)} == {"applied"}


def journal_rows_read(ledger: Ledger) -> int:
    reads = "SELECT idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'journal'"
    with transaction(limited_engine_for(ledger.settings), ledger.settings) as connection:
        peek_module.peek(connection, {0: BATCH})
        return int(connection.exec_driver_sql(reads).scalar_one())


def test_a_paused_tenants_backlog_is_not_read(shared: Ledger) -> None:
    shared.client.enqueue_many(earns("big", 500))
    shared.client.enqueue_many(earns("shop", 3))
    shared.client.pause("big")
    found = peek(shared)
    assert (tenants_of(found), found.is_all) == (["shop"] * 3, True)
    assert journal_rows_read(shared) == 3


def test_when_more_tenants_wait_than_a_batch_serves_each_gets_its_turn(
    shared: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peek_module, "_MOST_QUEUES", 2)
    names = [f"tenant-{number}" for number in range(5)]
    for name in names:
        shared.client.enqueue_many(earns(name, 30))
    served, after = set(), None
    for _ in range(3):
        found = peek(shared, after=after)
        served |= {*tenants_of(found)}
        after = found.last_queue
    assert served == {*names}
    shared.drain()
    assert shared.counts("pending", "outcomes") == [0, 150]


def test_tenants_also_take_turns_in_a_batch_of_several_lanes(settings: Settings) -> None:
    """Deciding may end a batch early: then the tenant whose commands are the oldest must not be all of it."""
    with Ledger(settings) as ledger:
        ledger.tenant("big")
        ledger.tenant("shop")
        users = [user_in(lane, "big", settings.lanes) for lane in (0, 1)]
        other = user_in(1, "shop", settings.lanes)
        ledger.client.enqueue_many(
            [Earn(tenant_id="big", user_id=users[number % 2], amount=1) for number in range(6)]
            + [Earn(tenant_id="shop", user_id=other, amount=1) for _ in range(2)]
        )
        _, peeked = ledger.engine._peek({0: 100, 1: 100})
    tenants = [accepted.command.tenant_id for accepted in peeked.batch]
    assert tenants == ["big", "shop", "big", "shop", "big", "big", "big", "big"]
    seqs = [accepted.seq for accepted in peeked.batch if accepted.command.tenant_id == "big"]
    assert seqs == sorted(seqs), "a tenant's in the order of acceptance"


@pytest.mark.locks
def test_a_worker_with_a_long_backlog_serves_another_lane_after_its_batch(settings: Settings) -> None:
    with Ledger(settings.model_copy(update={"batch_size": BATCH})) as ledger:
        ledger.tenant("big")
        ledger.tenant("shop")
        mine, other = user_in(0, "big", settings.lanes), user_in(1, "shop", settings.lanes)
        ledger.client.enqueue_many([Earn(tenant_id="big", user_id=mine, amount=1) for _ in range(500)])
        ledger.doorbells.ring([1])  # so that the command's own doorbell is behind this one
        ledger.engine._peek({0: BATCH})
        task_id = ledger.client.enqueue(Earn(tenant_id="shop", user_id=other, amount=1))
        ledger.engine.drain(0)
        assert ledger.client.outcome(task_id).state == "applied"
        assert lanes_held(ledger) == []


@pytest.mark.locks
def test_a_free_worker_serves_a_lane_with_a_backlog_only_for_the_command_in_a_hurry(
    settings: Settings,
) -> None:
    with Ledger(settings.model_copy(update={"batch_size": BATCH})) as ledger:
        ledger.tenant("big")
        ledger.tenant("shop")
        backlog, both = (user_in(lane, "big", settings.lanes) for lane in (0, 1))
        live = user_in(1, "shop", settings.lanes)
        ledger.client.enqueue_many(
            [Earn(tenant_id="big", user_id=user, amount=1) for user in (backlog, both) for _ in range(50)]
        )
        ledger.engine._peek({0: BATCH})  # so the tenant is busy
        other = Locks(ledger.redis, ledger.settings)
        other.take_lanes(0, "other")
        assert other.next_lanes("other", "other", 0, {1}).backlog == 0, "the other worker has a backlog"
        task_id = ledger.client.enqueue(Earn(tenant_id="shop", user_id=live, amount=1))

        assert ledger.engine.drain(1) == 1

        assert ledger.client.outcome(task_id).state == "applied"
        assert ledger.counts("pending") == [100]


@pytest.mark.locks
def test_the_holder_of_a_lane_serves_its_own_live_commands(settings: Settings) -> None:
    with Ledger(settings.model_copy(update={"batch_size": BATCH})) as ledger:
        ledger.tenant("big")
        ledger.tenant("shop")
        big, small = user_in(0, "big", settings.lanes), user_in(0, "shop", settings.lanes)
        ledger.client.enqueue_many([Earn(tenant_id="big", user_id=big, amount=1) for _ in range(500)])
        ledger.engine._peek({0: BATCH})
        task_id = ledger.client.enqueue(Earn(tenant_id="shop", user_id=small, amount=1))
        ledger.engine.drain(0)
        assert ledger.client.outcome(task_id).state == "applied"


@pytest.mark.locks
def test_a_batch_ends_early_when_a_command_in_a_hurry_waits_in_its_lane(
    shared: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decide_time, "_ASK_SECONDS", 0.0)
    batches, ahead = shared.engine._batches, ahead_key(shared.settings.redis_prefix)

    def applied_of_next_batch() -> int:
        _, peeked = shared.engine._peek({0: 3})
        return batches.apply(peeked)

    shared.client.enqueue_many(earns("big", 10))
    shared.redis.sadd(ahead, 0)
    assert applied_of_next_batch() == 3, "no batch has delayed another tenant lately, so it does not ask"
    batches.sizes.note_waiting()
    assert applied_of_next_batch() == 1
    shared.redis.delete(ahead)
    assert applied_of_next_batch() == 3


def lanes_held(ledger: Ledger) -> list[bytes]:
    return list(ledger.redis.scan_iter(f"{ledger.settings.redis_prefix}:lane:*"))


@pytest.mark.locks
def test_only_few_commands_of_a_tenant_without_backlog_go_before_others(shared: Ledger) -> None:
    """Lane 0 has a backlog that no worker holds, so others take it in turns."""
    locks = Locks(shared.redis, shared.settings)
    assert locks.take_lanes(0, "first").lanes == [0]
    locks.return_lanes([0], "first", {0})

    def is_taken_at_once() -> bool:
        taken = locks.next_lanes("none", "next", None, ())
        if taken.backlog == 0:
            locks.return_lanes([0], "next", {0})
            return False
        locks.return_lanes(taken.lanes, "next", {0})
        return taken.lanes == [0] and taken.is_hurried

    shared.client.enqueue_many(earns("shop", 1))
    assert not is_taken_at_once(), "no tenant is busy yet"
    shared.client.enqueue_many(earns("big", 30))
    shared.engine._peek({0: BATCH})
    for commands, expected in (
        (earns("big", 1), False),
        (earns("shop", 21), False),
        (earns("shop", 20), True),
    ):
        shared.client.enqueue_many(commands)
        assert is_taken_at_once() == expected


def test_the_default_of_a_pending_row_is_a_queue_of_its_own(shared: Ledger) -> None:
    """As a program of the version before writes it."""
    shared.client.enqueue_many(earns("shop", 2))
    with shared.owner.begin() as connection:
        connection.execute(sa.text("UPDATE pending SET tenant_hash = DEFAULT, cost = DEFAULT"))
    shared.client.enqueue_many(earns("shop", 2))
    assert len(peek(shared).commands) == 4
    shared.drain()
    assert shared.counts("pending") == [0]


def test_a_batch_of_expensive_commands_does_not_read_those_behind_it(
    shared: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 imports of 1,000 lots took most of a minute: each batch of one read the payloads of all."""
    read: list[int] = []

    def rows(*args: Any, **named: Any) -> list[Any]:
        found = database.rows(*args, **named)
        read.append(len(found))
        return found

    monkeypatch.setattr(peek_module, "rows", rows)
    shared.client.enqueue_many(imports(30, lots=5))
    found = peek(shared)
    assert (len(found.commands), found.is_all, read) == (2, False, [2])
    shared.drain()
    assert shared.counts("pending") == [0]


def test_a_tenant_with_many_expensive_commands_is_busy_and_one_with_few_is_not(shared: Ledger) -> None:
    shared.client.enqueue_many(imports(20, lots=200))
    assert peek(shared, 1_000).busy == set()
    shared.client.enqueue_many(imports(1, lots=200))
    assert peek(shared, 1_000).busy == {"big"}
