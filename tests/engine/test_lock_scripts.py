"""The Lua scripts of the locks, in fakeredis: one at a time, without a server."""

import fakeredis
import pytest

from pointledger.engine.locks import Locks
from pointledger.messaging.contract import ahead_key, hurry_key, workers_key
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


# ------------------------------------------------------------------- while a command is in a hurry


def hurry(locks: Locks, *lanes: int) -> None:
    """Note that commands of a calm tenant wait in the lanes, as `Doorbells.ring` does."""
    locks._client.set(hurry_key(locks._prefix), 1)
    for lane in lanes:
        locks._client.sadd(ahead_key(locks._prefix), lane)


def second_worker(locks: Locks) -> Locks:
    """Return the locks of another worker that is at work as well."""
    other = Locks(locks._client, Settings(database_url="postgresql://never/asked"))
    assert other.next_lanes("none", "none", None, ()).lanes == []
    return other


def give_backlogs(locks: Locks, *lanes: int) -> None:
    """Give the lanes a backlog that no worker has taken."""
    for lane in lanes:
        locks.take_lanes(lane, "filled")
    locks.return_lanes(lanes, "filled", lanes)


def test_one_of_two_workers_stays_free_of_backlogs(locks: Locks) -> None:
    other = second_worker(locks)
    give_backlogs(locks, 3, 5)
    assert locks.take_lanes(3, "first").backlog == 3
    assert other.take_lanes(5, "second").backlog == 5, "nothing is in a hurry yet"

    hurry(locks)

    assert locks.next_lanes("first", "next", 3, ()).lanes == [], "it leaves its lane to the other"
    kept = other.next_lanes("second", "later", 5, ())
    assert (kept.lanes, kept.backlog, kept.free) == ([5], 5, None)
    assert locks.take_lanes(3, "third").lanes == [], "the other has one"


def test_a_worker_with_a_backlog_leaves_the_lanes_that_wait_to_the_free_one(locks: Locks) -> None:
    free = second_worker(locks)
    give_backlogs(locks, 3, 5)
    locks.take_lanes(3, "first")
    hurry(locks, 5, 7)

    assert locks.next_lanes("first", "next", 3, ()).lanes == [3]
    taken = free.take_lanes(9, "free")
    assert (taken.lanes, taken.backlog) == ([5, 7, 9], None)


def test_a_free_worker_serves_what_waits_before_it_begins_with_a_backlog(locks: Locks) -> None:
    second_worker(locks)
    give_backlogs(locks, 3, 5)
    hurry(locks, 7)

    taken = locks.take_lanes(9, "first")
    assert (taken.lanes, taken.backlog, taken.free) == ([7, 9], None, 3)
    taken = locks.next_lanes("first", "next", None, ())
    assert (taken.lanes, taken.backlog) == ([3], 3)


def test_a_worker_alone_serves_what_waits_beside_its_backlog(locks: Locks) -> None:
    give_backlogs(locks, 3)
    locks.take_lanes(3, "first")
    hurry(locks, 7)

    taken = locks.next_lanes("first", "next", 3, ())
    assert (taken.lanes, taken.backlog, taken.is_ahead) == ([3, 7], 3, False)


def test_a_worker_that_was_not_at_work_for_seconds_counts_as_gone(locks: Locks) -> None:
    second_worker(locks)
    give_backlogs(locks, 3)
    locks.take_lanes(3, "first")
    hurry(locks, 7)
    workers = workers_key(locks._prefix)
    seconds_ago = {worker: last - 6_000 for worker, last in locks._client.zscan_iter(workers)}
    locks._client.zadd(workers, seconds_ago)

    assert locks.next_lanes("first", "next", 3, ()).lanes == [3, 7]


def test_the_holder_of_a_backlog_learns_that_a_command_goes_before_it_in_its_own_lane(locks: Locks) -> None:
    second_worker(locks)
    give_backlogs(locks, 3)
    locks.take_lanes(3, "first")
    hurry(locks, 3, 7)

    taken = locks.next_lanes("first", "next", 3, ())
    assert (taken.lanes, taken.backlog, taken.is_ahead) == ([3], 3, True)
    assert not locks.next_lanes("next", "later", 3, ()).is_ahead, "it is in the batch before"


def test_a_lane_keeps_its_turn_among_the_backlogs_when_a_command_goes_before_it(locks: Locks) -> None:
    free = second_worker(locks)
    give_backlogs(locks, 3, 5)
    hurry(locks, 3)
    assert free.take_lanes(9, "free").lanes == [3, 9]
    assert locks.take_lanes(5, "first").backlog == 5, "lane 3 is taken"
    free.return_lanes([3, 9], "free", {3})
    locks.return_lanes([5], "first", {5})

    assert locks.take_lanes(9, "second").free == 3


def test_the_last_worker_at_the_backlogs_names_one_when_its_time_slice_ends(locks: Locks) -> None:
    give_backlogs(locks, 3, 5)
    locks.take_lanes(3, "first")

    assert locks.return_lanes([3], "first", ()) == 5
