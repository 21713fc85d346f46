"""Reproduces known bugs of other queues. Each test names the line that prevents the bug here; without that
line it fails, which was tried."""

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import pytest
import sqlalchemy as sa

from pointledger import Earn, PointsClient
from pointledger.client.acceptor import Acceptance
from pointledger.engine.drain import Engine
from pointledger.engine.locks import Locks
from pointledger.jobs.scheduler import EXPIRE_POINTS, JobScheduler
from pointledger.messaging import redis_client
from pointledger.messaging.contract import LANES_QUEUE
from pointledger.settings import Settings
from pointledger.storage.database import engine_for
from pointledger.storage.errors import DATABASE_ERRORS
from pointledger_demo.processes import ProcessGroup
from pointledger_demo.program import TENANT
from tests.chaos.proxy import Link, Proxy
from tests.faults.every_kind import DUE, THEN
from tests.faults.injection import ran_yesterday
from tests.ledger import Ledger
from tests.processes import state_of
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

SECONDS = 60
SHOP: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    opened = Proxy()
    yield opened
    opened.stop()


@pytest.fixture
def own(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        opened.tenant()
        yield opened


def through(url: str, proxy: Proxy) -> tuple[Link, str]:
    """Return a link to a server, and the server's URL through it."""
    parsed = sa.make_url(url)
    assert parsed.port
    link = Link(proxy, "to be cut", parsed.port)
    return link, parsed.set(port=link.port).render_as_string(hide_password=False)


def test_the_lost_wake_up_of_gitlab(own: Ledger) -> None:
    """A worker sees an empty lane and is about to release it. A command arrives, and the worker that its
    doorbell wakes finds the lane locked. GitLab lost such work until the next push. Here `acquire_lane` sets
    a mark, and `release_lane_if_idle` releases the lane only without a mark.

    Without the SET of `dirty` in `_ACQUIRE_LANE`, the second command stays pending."""
    second: list[str] = []
    queue = f"{own.settings.redis_prefix}:{LANES_QUEUE}"

    class Interrupted(Locks):
        def release_lane_if_idle(self, lane: int, token: str) -> bool:
            if not second:
                second.append(own.client.enqueue(Earn(**SHOP, amount=2)))
                assert own.engine.drain(lane) == 0, "another worker holds the lane"
                own.redis.delete(queue)  # its doorbell
            return super().release_lane_if_idle(lane, token)

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

    Without the comparison of tokens in `_RELEASE_USERS` and `_ABANDON_LANE`, the third gets the locks."""
    zombie, second, third = (Locks(own.redis, own.settings) for _ in range(3))
    anna = [("shop", "anna")]
    assert zombie.acquire_lane(7, "zombie")
    assert not zombie.acquire_users(7, anna, "zombie")
    own.redis.flushdb()  # its locks have expired
    assert second.acquire_lane(7, "second")
    assert not second.acquire_users(7, anna, "second")

    zombie.release_users(anna, "zombie")
    zombie.release_lane_if_idle(7, "zombie")
    zombie.abandon_lane(7, "zombie")

    assert third.acquire_users(8, anna, "third") == {("shop", "anna")}
    assert not third.acquire_lane(7, "third")


@pytest.mark.parametrize("script", ["acquire-lane", "acquire-users"])
def test_the_phantom_lock_of_redis_py_after_a_lost_reply(own: Ledger, proxy: Proxy, script: str) -> None:
    """The reply to a lock is lost, the library repeats the call and finds the lock taken: by itself, so no
    process will release it. Here the caller passes the token, so its own lock is no obstacle.

    Without `holder ~= ARGV[1]` in `_ACQUIRE_LANE` and `_ACQUIRE_USERS`, the caller is blocked by itself."""
    link, url = through(own.settings.redis, proxy)
    with closing(redis_client.connect(own.settings.model_copy(update={"redis_url": url}))) as client:
        mine = Locks(client, own.settings)
        mine.acquire_lane(1, "warm")  # opens the connection and loads the scripts
        mine.acquire_users(1, [], "warm")
        link.lose_replies(1)

        if script == "acquire-lane":
            assert mine.acquire_lane(7, "mine")
            assert own.redis.get(f"{own.settings.redis_prefix}:lane:7") == "mine"
        else:
            assert mine.acquire_users(1, [("shop", "anna")], "mine") == set()
        assert link.injected["lost"] == 1, "the reply was lost"

        mine.release_users([("shop", "anna")], "mine")
        assert mine.release_lane_if_idle(7, "mine")
        assert not list(own.redis.scan_iter(f"{own.settings.redis_prefix}:user:*")), "no lock is left"


def test_the_ambiguous_commit_of_every_database(own: Ledger, proxy: Proxy) -> None:
    """Postgres commits, and the connection breaks before its reply. A client that takes this for a failure
    repeats the work. Here the ids reveal a duplicate, and an applied command is no longer pending.

    Without the retries of `Acceptance._retried`, `enqueue` raises. If the claim did not check that the
    command is pending, it would be applied twice."""
    link, url = through(own.settings.database, proxy)
    settings = own.settings.model_copy(update={"database_url": url})
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
