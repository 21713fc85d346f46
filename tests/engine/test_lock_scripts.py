"""The Lua scripts of the locks, in fakeredis: one at a time, without a server."""

import fakeredis
import pytest

from pointledger.engine.locks import Locks
from pointledger.messaging.contract import ahead_key
from pointledger.settings import Settings

pytestmark = pytest.mark.locks  # not once more with all locks granted

MANY = [("shop", f"user-{number}") for number in range(2_500)]  # more than one call to Redis takes


@pytest.fixture
def locks() -> Locks:
    return Locks(fakeredis.FakeRedis(), Settings(database_url="postgresql://never/asked"))


def test_all_free_users_are_locked_and_the_busy_ones_are_returned_however_many_there_are(
    locks: Locks,
) -> None:
    busy = {MANY[0], MANY[999], MANY[1_000], MANY[2_499]}
    assert locks.acquire_users([], sorted(busy), "elsewhere") == set()

    assert locks.acquire_users([], MANY, "here") == busy
    assert locks.acquire_users([], MANY, "third") == set(MANY)


def test_only_the_tokens_own_users_are_unlocked_however_many_there_are(locks: Locks) -> None:
    busy = {MANY[0], MANY[999], MANY[1_000], MANY[2_499]}
    locks.acquire_users([], sorted(busy), "elsewhere")
    locks.acquire_users([], MANY, "here")

    locks.release_users(MANY, "here")

    assert locks.acquire_users([], MANY, "third") == busy


def test_a_repeated_call_takes_the_same_locks(locks: Locks) -> None:
    assert locks.acquire_users([], MANY[:3], "here") == set()
    assert locks.acquire_users([], MANY[:3], "here") == set()


def test_a_lane_that_rings_while_it_is_held_is_taken_again_by_its_holder(locks: Locks) -> None:
    assert locks.take_lanes(7, "first").lanes == [7]
    assert locks.take_lanes(7, "second").lanes == [], "it is taken"

    assert locks.next_lanes("first", "next", None, ()).lanes == [7]
    assert locks.next_lanes("next", "last", None, ()).lanes == []
    assert locks.take_lanes(7, "second").lanes == [7], "it is free"


def test_a_lane_with_a_backlog_stays_with_its_worker_and_another_gets_the_next(locks: Locks) -> None:
    for lane in (3, 5):
        locks.take_lanes(lane, "first")

    kept = locks.next_lanes("first", "next", 3, {5})
    assert (kept.lanes, kept.backlog, kept.free) == ([3], 3, 5)

    taken = locks.take_lanes(9, "second")
    assert (taken.lanes, taken.backlog) == ([5, 9], 5)


@pytest.mark.parametrize("is_last_batch", [True, False])
def test_lanes_with_a_backlog_that_rang_meanwhile_are_shared_among_workers(
    locks: Locks, is_last_batch: bool
) -> None:
    for lane in (3, 5, 7):
        locks.take_lanes(lane, "first")
    for lane in (3, 5, 7):
        locks.take_lanes(lane, "second")  # rings, and finds it taken

    if is_last_batch:
        locks.return_lanes([3, 5, 7], "first", {3, 5, 7})
    else:
        assert locks.next_lanes("first", "next", 3, {5, 7}).lanes == [3]

    assert len(locks.take_lanes(5, "second").lanes) == 1, "not all that other workers could take"
    assert len(locks.take_lanes(5, "third").lanes) == 1


def test_a_command_that_goes_before_a_backlog_is_not_forgotten_when_its_lane_is_offered(locks: Locks) -> None:
    locks.take_lanes(3, "first")
    locks._client.sadd(ahead_key(locks._prefix), 3)

    locks.return_lanes([3], "first", {3})

    taken = locks.take_lanes(9, "second")
    assert (taken.lanes, taken.backlog) == ([3, 9], None)


def test_a_returned_lane_that_rang_without_a_doorbell_is_named(locks: Locks) -> None:
    locks.take_lanes(2, "first")
    locks.take_lanes(2, "second")  # rings, and finds it taken

    assert locks.return_lanes([2], "first", ()) == 2
