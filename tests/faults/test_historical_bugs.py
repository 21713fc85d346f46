"""Reproduces known bugs of other queues. Each test names the line that prevents the bug here; without that
line it fails, which was tried."""

import signal
import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import pytest

from pointledger import Earn, PointsClient
from pointledger.client.acceptor import Acceptance
from pointledger.engine.drain import Engine
from pointledger.engine.locks import Locks, Taken
from pointledger.jobs.scheduler import EXPIRE_POINTS, JobScheduler
from pointledger.messaging import redis_client
from pointledger.messaging.contract import LANES_QUEUE
from pointledger.settings import Settings
from pointledger.storage.database import engine_for
from pointledger.storage.errors import DATABASE_ERRORS
from pointledger_demo.processes import ProcessGroup
from pointledger_demo.program import TENANT
from tests.chaos.proxy import Link
from tests.faults.every_kind import DUE, THEN
from tests.faults.injection import ran_yesterday
from tests.ledger import Ledger
from tests.links import through
from tests.processes import state_of
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

SECONDS = 60
SHOP: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}


@pytest.fixture
def own(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        opened.tenant()
        yield opened


def test_the_lost_wake_up_of_gitlab(own: Ledger) -> None:
    """A worker sees an empty lane and is about to release it. A command arrives, and the worker that its
    doorbell wakes finds the lane locked. GitLab lost such work until the next push. Here a lane that rings
    stays in `waiting` while a worker holds it, and `next_lanes` takes it again.

    Without `redis.call('GET', key_of(lane)) == token or` in `_TAKE`, the second command stays pending."""
    second: list[str] = []
    queue = f"{own.settings.redis_prefix}:{LANES_QUEUE}"

    class Interrupted(Locks):
        def next_lanes(
            self, token: str, new_token: str, kept: int | None, backlogs: Collection[int]
        ) -> Taken:
            if not second:
                second.append(own.client.enqueue(Earn(**SHOP, amount=2)))
                assert own.engine.drain(lane) == 0, "another worker holds the lane"
                own.redis.delete(queue)  # its doorbell
            return super().next_lanes(token, new_token, kept, backlogs)

    own.client.enqueue(Earn(**SHOP, amount=1))
    (lane,) = own.waiting_lanes()
    locks_of_first = Interrupted(own.redis, own.settings)
    first = Engine(own.database, locks_of_first, own.doorbells, own.settings)

    first.drain(lane)
    while own.redis.lpop(queue):  # its time slice was over, so it rang instead of continuing
        first.drain(lane)
    assert own.client.outcome(second[0]).state == "applied", "without a doorbell from beat"


def test_the_zombies_double_release_of_solid_queue(own: Ledger) -> None:
    """A process that counted as dead returns and releases the locks that another process holds now, so a
    third gets them as well. Here a release names the token of its time slice.

    Without the comparison of tokens in `_RELEASE_USERS`, `_NEXT_LANES` and `_RETURN_LANES`, the third gets
    the locks."""
    zombie, second, third = (Locks(own.redis, own.settings) for _ in range(3))
    anna = [("shop", "anna")]
    assert zombie.take_lanes(7, "zombie").lanes == [7]
    assert not zombie.acquire_users([7], anna, "zombie")
    own.redis.flushdb()  # its locks have expired
    assert second.take_lanes(7, "second").lanes == [7]
    assert not second.acquire_users([7], anna, "second")

    zombie.release_users(anna, "zombie")
    zombie.next_lanes("zombie", "next", None, ())
    zombie.return_lanes([7], "zombie", ())

    assert third.acquire_users([8], anna, "third") == {("shop", "anna")}
    assert third.take_lanes(7, "third").lanes == []


@pytest.mark.parametrize("script", ["take-lanes", "next-lanes", "acquire-users"])
def test_the_phantom_lock_of_redis_py_after_a_lost_reply(own: Ledger, to_valkey: Link, script: str) -> None:
    """The reply to a lock is lost, the library repeats the call and finds the lock taken: by itself, so no
    process will release it. Here the caller passes the token, so its own lock is no obstacle.

    Without `holder == token` in `_TAKE` and `holder ~= ARGV[1]` in `ACQUIRE_USERS`, the caller is blocked by
    itself."""
    linked = own.settings.model_copy(update={"redis_url": through(own.settings.redis, to_valkey)})
    with closing(redis_client.connect(linked)) as client:
        mine = Locks(client, own.settings)
        mine.take_lanes(1, "warm")  # opens the connection and loads the scripts
        mine.acquire_users([1], [], "warm")
        mine.next_lanes("warm", "mine", 1, ())
        own.doorbells.ring([7])
        to_valkey.lose_replies(1)

        token = "mine"
        if script == "take-lanes":
            assert mine.take_lanes(7, "mine").lanes == [1, 7]
        elif script == "next-lanes":
            token = "later"
            assert mine.next_lanes("mine", "later", 1, ()).lanes == [1, 7]
        else:
            assert mine.acquire_users([1], [("shop", "anna")], "mine") == set()
        assert to_valkey.injected["lost"] == 1, "the reply was lost"

        mine.release_users([("shop", "anna")], "mine")
        mine.return_lanes([1, 7], token, ())
        assert not list(own.redis.scan_iter(f"{own.settings.redis_prefix}:lane:*")), "no lane is locked"
        assert not list(own.redis.scan_iter(f"{own.settings.redis_prefix}:user:*")), "no lock is left"


def test_the_ambiguous_commit_of_every_database(own: Ledger, to_postgres: Link) -> None:
    """Postgres commits, and the connection breaks before its reply. A client that takes this for a failure
    repeats the work. Here the ids reveal a duplicate, and an applied command is no longer pending.

    Without the retries of `attempts.retried`, `enqueue` raises. If the claim did not check that the
    command is pending, it would be applied twice."""
    link = to_postgres
    settings = own.settings.model_copy(update={"database_url": through(own.settings.database, link)})
    with PointsClient.connect(settings) as client:
        link.cut_commits(2)
        task_id = client.enqueue(Earn(**SHOP, amount=5, idempotency_key="once"))
        assert link.injected["cut"] == 2, "it was committed"
    task_ids = [task_id]
    with Ledger(settings) as ledger:
        (lane,) = ledger.waiting_lanes()
        # the batch itself, and the peek, which notes the attempt
        for lose, injected in ((link.cut_commits, "cut"), (link.lose_replies, "lost")):
            before = link.injected[injected]
            lose(1)
            with suppress(*DATABASE_ERRORS):
                ledger.engine.drain(lane)
            assert link.injected[injected] == before + 1
            own.redis.flushdb()
            own.drain()
            task_ids.append(own.client.enqueue(Earn(**SHOP, amount=5)))
    own.drain()
    assert {outcome.state for outcome in own.client.outcomes(task_ids)} == {"applied"}
    assert (own.balance("anna"), own.counts("journal", "entries", "aliases")) == (15, [3, 3, 0])


def test_the_gap_of_brpop_in_kombu(ledger: Ledger, system: ProcessGroup) -> None:
    """Redis gives the message to a stopped process, which dies. The message is lost, because it is neither
    queued nor unacknowledged. Here it is only a doorbell, and beat rings again.

    Without `ring-waiting-lanes` in the timetable, the command stays pending."""
    queue = f"{ledger.settings.redis_prefix}:{LANES_QUEUE}"
    wait_until(lambda: _waiting(ledger) >= 2, "both workers wait for messages")
    for worker in system.workers:
        worker.send_signal(signal.SIGSTOP)
    wait_until(lambda: all(state_of(worker.pid) == "T" for worker in system.workers), "both are stopped")
    task_id = ledger.client.enqueue(Earn(tenant_id=TENANT, user_id="anna", amount=5))
    wait_until(lambda: not ledger.redis.llen(queue), "Redis has given the message to a worker")
    assert not ledger.redis.zcard("unacked_index")

    for worker in list(system.workers):
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    system.workers[:] = [system.start_worker(3)]

    wait_until(lambda: ledger.client.outcome(task_id).state == "applied", "it is applied")
    assert ledger.balance("anna", TENANT) == 5


def test_the_double_beat_of_redbeat(own: Ledger) -> None:
    """Two schedulers both believe that they hold the lock, and send every job twice. Here any number of them
    can run: a run is one row per tenant and date, and the user and the moment are the key of its commands.

    Without `ON CONFLICT DO NOTHING` in `open_run` they fail. Without the key of `ScheduledCommand` and the
    lease of `take_run`, each sends its own commands."""
    users = [f"user-{number}" for number in range(30)]
    own.apply(
        *(Earn(tenant_id="shop", user_id=user, amount=9, occurred_at=THEN, expires_at=DUE) for user in users)
    )
    ran_yesterday(own, EXPIRE_POINTS)
    accepted = own.counts("journal")[0]
    barrier = threading.Barrier(5)

    def beat(_: int) -> int:
        database = engine_for(own.settings.database)
        scheduler = JobScheduler(database, Acceptance(database, own.doorbells, own.settings))
        barrier.wait(SECONDS)
        opened = scheduler.open_runs(EXPIRE_POINTS)
        while scheduler.expire_points():
            pass
        database.dispose()
        return opened

    with ThreadPoolExecutor(5) as beats:
        assert sum(beats.map(beat, range(5))) == 1, "one of them opens the run"

    own.drain()
    assert own.counts("journal")[0] == accepted + len(users), "a command for each user"
    assert own.rows("SELECT count(*), sum(amount) FROM entries WHERE type = 'expire'") == [(30, 270)]


def _waiting(ledger: Ledger) -> int:
    """Return how many connections wait for a message in this test's database of Valkey."""
    number = str(ledger.redis.connection_pool.connection_kwargs["db"])
    return sum(each["cmd"] == "brpop" and each["db"] == number for each in ledger.redis.client_list())
