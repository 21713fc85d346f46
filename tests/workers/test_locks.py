"""Redis locks between two real worker processes."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from redis.client import PubSub

from pointledger import Earn, Transfer
from pointledger.engine.locks import Locks
from pointledger.messaging.contract import (
    LANES_QUEUE,
    door_key,
    idle_channel,
    idle_key,
    joined,
    looking_key,
)
from pointledger.settings import Settings
from pointledger_demo.processes import ProcessGroup
from pointledger_demo.program import TENANT
from tests.ledger import Ledger
from tests.waiting import wait_until


def test_two_workers_lock_a_shared_user_one_after_the_other(ledger: Ledger, system: ProcessGroup) -> None:
    """All users give to one user, so every batch of every lane needs that user's lock. Several time slices
    hold it one after the other, and each releases it."""
    users = [f"user-{number}" for number in range(40)]
    earned = ledger.client.enqueue_many(
        [Earn(tenant_id=TENANT, user_id=user, amount=1_000) for user in [*users, "hot"]]
    )
    wait_until(
        lambda: all(outcome.is_final for outcome in ledger.client.outcomes(earned)), "all users have points"
    )
    key = f"{ledger.settings.redis_prefix}:user:{joined(TENANT, 'hot')}"
    holders: dict[str, int] = defaultdict(int)
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            if token := ledger.redis.get(key):
                holders[str(token)] += 1

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(20):
        ledger.client.enqueue_many(
            [Transfer(tenant_id=TENANT, user_id=user, to_user_id="hot", amount=1) for user in users]
        )
    wait_until(lambda: ledger.counts("pending") == [0], "no command is pending")
    stop.set()
    watcher.join(30)

    assert ledger.balance("hot", TENANT) == 1_000 + 20 * len(users)
    assert len(holders) > 1, "several time slices held the lock"
    assert ledger.redis.get(key) is None, "the lock is released"
    assert ledger.counts("failures") == [0]
    states = ledger.rows("SELECT DISTINCT state FROM outcomes")
    assert states == [("applied",)]


def test_one_doorbell_is_on_its_way_until_a_worker_takes_its_lanes(settings: Settings) -> None:
    with Ledger(settings) as own:
        own.doorbells.ring([7])
        own.doorbells.ring([7, 8])
        assert _doorbells(own) == 1, "one doorbell is on its way"

        Locks(own.redis, settings).take_lanes(7, "mine")
        own.redis.delete(looking_key(settings.redis_prefix))  # it expires during a large batch

        own.doorbells.ring([7])
        assert _doorbells(own) == 2


def test_a_worker_that_looks_again_soon_needs_no_doorbell(settings: Settings) -> None:
    with Ledger(settings) as own:
        locks = Locks(own.redis, settings)
        locks.take_lanes(7, "first")
        _keep_looking(own, "first")
        own.doorbells.ring([7, 8])
        assert _doorbells(own) == 0
        own.doorbells.ring([9], beside=True)
        assert _doorbells(own) == 1, "that worker has enough to do"

        assert locks.next_lanes("first", "second", None, ()).lanes == [7, 8, 9]
        _keep_looking(own, "second")
        assert locks.next_lanes("second", "third", None, ()).lanes == []
        own.redis.delete(door_key(settings.redis_prefix))

        own.doorbells.ring([7])
        assert _doorbells(own) == 2, "it has stopped looking"


def test_a_worker_that_ends_its_time_slice_learns_of_lanes_without_a_doorbell(settings: Settings) -> None:
    with Ledger(settings) as own:
        locks = Locks(own.redis, settings)
        locks.take_lanes(7, "mine")
        assert locks.return_lanes([7], "mine", ()) is None

        locks.take_lanes(7, "mine")
        _keep_looking(own, "mine")
        own.doorbells.ring([8])
        assert locks.return_lanes([7], "mine", ()) == 8

        own.doorbells.ring([8])
        assert _doorbells(own) == 1
        assert locks.return_lanes([7], "mine", ()) is None, "a doorbell is on its way"


def test_a_ring_wakes_the_worker_that_has_been_idle_for_the_shortest_time(settings: Settings) -> None:
    with Ledger(settings) as own, _listening(own) as first, _listening(own) as second:
        for worker in (first, second):
            worker.locks.become_idle()

        own.doorbells.ring([7])
        assert (first.received(), second.received()) == ([], ["7"])
        own.doorbells.ring([8])
        assert (first.received(), second.received()) == ([], []), "one that looks soon suffices"
        own.doorbells.ring([9], beside=True)
        assert (first.received(), second.received()) == (["9"], []), "that one has enough to do"
        assert _doorbells(own) == 0

        own.redis.delete(looking_key(settings.redis_prefix))  # they take longer than that
        own.doorbells.ring([10])
        assert _doorbells(own) == 1, "none is idle"


def test_a_ring_that_no_idle_worker_receives_becomes_a_doorbell(settings: Settings) -> None:
    with Ledger(settings) as own:
        for _ in range(2):
            Locks(own.redis, settings).become_idle()  # and then the worker is killed
        own.doorbells.ring([7])

        assert _doorbells(own) == 1
        assert not own.redis.exists(idle_key(settings.redis_prefix))


def test_a_forced_ring_is_a_doorbell_also_if_a_worker_is_idle(settings: Settings) -> None:
    with Ledger(settings) as own, _listening(own) as worker:
        worker.locks.become_idle()
        own.doorbells.ring([7], force=True)
        assert (worker.received(), _doorbells(own)) == ([], 1)


def test_a_client_that_may_not_publish_sends_a_doorbell_in_place_of_waking_a_worker(
    settings: Settings,
) -> None:
    with Ledger(settings) as own, _listening(own) as worker:
        worker.locks.become_idle()
        own.redis.acl_setuser(
            "keys-only", enabled=True, passwords=["+secret"], keys=["*"], categories=["+@all"]
        )
        try:
            restricted = f"redis://keys-only:secret@{settings.redis.rpartition('@')[2]}"
            with Ledger(settings.model_copy(update={"redis_url": restricted})) as client:
                client.doorbells.ring([7])
        finally:
            own.redis.acl_deluser("keys-only")
        assert (worker.received(), _doorbells(own)) == ([], 1)


def test_a_worker_that_was_woken_for_lanes_that_others_took_does_not_silence_the_next_ring(
    settings: Settings,
) -> None:
    with Ledger(settings) as own, _listening(own) as worker:
        worker.locks.become_idle()
        own.doorbells.ring([7])
        Locks(own.redis, settings).take_lanes(7, "elsewhere")
        assert worker.locks.take_lanes(7, "here").lanes == []
        own.redis.delete(looking_key(settings.redis_prefix))  # that of the other one
        worker.locks.become_idle()
        own.doorbells.ring([8])
        assert worker.received() == ["7", "8"]


def test_a_worker_that_takes_lanes_or_begins_a_task_is_not_idle(settings: Settings) -> None:
    with Ledger(settings) as own, _listening(own) as worker:
        worker.locks.become_idle()
        worker.locks.take_lanes(7, "mine")
        assert not own.redis.exists(idle_key(settings.redis_prefix))

        worker.locks.become_idle()
        assert worker.locks.become_busy() is None
        assert not own.redis.exists(idle_key(settings.redis_prefix))

        worker.locks.become_idle()
        own.redis.delete(looking_key(settings.redis_prefix))
        own.doorbells.ring([8])
        assert worker.locks.become_busy() in (7, 8), "a ring is on its way to it"


class _Worker:
    """A worker's locks, and the rings that it receives."""

    def __init__(self, own: Ledger, subscription: PubSub) -> None:
        self.locks = Locks(own.redis, own.settings)
        self._subscription = subscription
        subscription.subscribe(idle_channel(own.settings.redis_prefix, self.locks.worker))
        assert subscription.get_message(timeout=10)["type"] == "subscribe"

    def received(self) -> list[str]:
        """Return the lanes that rings have named since the last call."""
        self._subscription.ping("now")
        lanes = []
        while (message := self._subscription.get_message(timeout=10))["type"] == "message":
            lanes.append(message["data"])
        return lanes


@contextmanager
def _listening(own: Ledger) -> Iterator[_Worker]:
    with own.redis.pubsub() as subscription:  # type: ignore[no-untyped-call]  # redis-py
        yield _Worker(own, subscription)


def _keep_looking(own: Ledger, token: str) -> None:
    """Let the worker with this token look again, however slow the test is."""
    own.redis.set(looking_key(own.settings.redis_prefix), token)


def _doorbells(own: Ledger) -> int:
    return int(own.redis.llen(f"{own.settings.redis_prefix}:{LANES_QUEUE}"))
