"""Bugs that others had, each where we would have it. With our protection taken away the test fails: it was
tried, and each says which line."""

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
from pointledger.jobs.scheduler import EXPIRE_POINTS, Sweep
from pointledger.messaging import redis_client
from pointledger.messaging.contract import LANES_QUEUE
from pointledger.settings import Settings
from pointledger.storage.database import engine_for
from pointledger.storage.errors import DATABASE_ERRORS
from pointledger_demo.programme import TENANT
from pointledger_demo.system import System
from tests.chaos.proxy import Link, Proxy
from tests.faults.every_kind import DUE, THEN
from tests.faults.striking import ran_yesterday
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
    """A link to a server, and the server's URL through it."""
    parsed = sa.make_url(url)
    assert parsed.port
    link = Link(proxy, "to be cut", parsed.port)
    return link, parsed.set(port=link.port).render_as_string(hide_password=False)


def test_the_lost_wake_up_of_gitlab(own: Ledger) -> None:
    """A worker has seen that nothing waits and is about to free the lane; a command comes, its ring finds the
    lane taken and goes away. GitLab lost such work until the next push. Here `enter` leaves a mark, and
    `leave` frees the lane only where there is none.

    Without the SET of `dirty` in `_ENTER`, the second command stays pending."""
    second: list[str] = []
    queue = f"{own.settings.redis_prefix}:{LANES_QUEUE}"

    class Interrupted(Locks):
        def leave(self, lane: int, token: str) -> bool:
            if not second:
                second.append(own.client.enqueue(Earn(**SHOP, amount=2)))
                assert own.engine.drain(lane) == 0, "somebody else's turn"
                own.redis.delete(queue)  # that was its ring
            return super().leave(lane, token)

    own.client.enqueue(Earn(**SHOP, amount=1))
    (lane,) = own.waiting_lanes()
    locks_of_first = Interrupted(own.redis, own.settings)
    first = Engine(own.database, locks_of_first, own.doorbells, own.settings)

    first.drain(lane)
    while own.redis.lpop(queue):  # its time was over, and it rang instead of going on
        first.drain(lane)
    assert own.client.outcome(second[0]).state == "applied", "and no beat had to come for it"


def test_the_zombies_double_release_of_solid_queue(own: Ledger) -> None:
    """A process that was taken for dead comes back and releases what another holds by now, and a third comes
    in. Here whoever releases says which turn it is.

    Without the comparison of tokens in `_RELEASE_USERS` and `_ABANDON`, the third comes in."""
    zombie, second, third = (Locks(own.redis, own.settings) for _ in range(3))
    anna = [("shop", "anna")]
    assert zombie.enter(7, "zombie")
    assert not zombie.take_users(7, anna, "zombie")
    own.redis.flushdb()  # its time has run out
    assert second.enter(7, "second")
    assert not second.take_users(7, anna, "second")

    zombie.release_users(anna, "zombie")
    zombie.leave(7, "zombie")
    zombie.abandon(7, "zombie")

    assert third.take_users(8, anna, "third") == {("shop", "anna")}
    assert not third.enter(7, "third")


@pytest.mark.parametrize("script", ["enter", "take users"])
def test_the_phantom_lock_of_redis_py_after_a_lost_reply(own: Ledger, proxy: Proxy, script: str) -> None:
    """The lock is taken, the reply is lost, the library asks again and hears that it is taken: by itself, and
    nobody will free it. Here the caller names the token, and its own lock is no obstacle.

    Without `holder ~= ARGV[1]` in `_ENTER` and `_TAKE_USERS`, it stands before its own lock."""
    link, url = through(own.settings.redis, proxy)
    with closing(redis_client.connect(own.settings.model_copy(update={"redis_url": url}))) as client:
        mine = Locks(client, own.settings)
        mine.enter(1, "warm")  # the connection is there, and the scripts
        mine.take_users(1, [], "warm")
        link.lose_replies(1)

        if script == "enter":
            assert mine.enter(7, "mine")
            assert own.redis.get(f"{own.settings.redis_prefix}:lane:7") == "mine"
        else:
            assert mine.take_users(1, [("shop", "anna")], "mine") == set()
        assert link.struck["lost"] == 1, "the reply was lost"

        mine.release_users([("shop", "anna")], "mine")
        assert mine.leave(7, "mine")
        assert not list(own.redis.scan_iter(f"{own.settings.redis_prefix}:user:*")), "and nothing is left"


def test_the_ambiguous_commit_of_anybody(own: Ledger, proxy: Proxy) -> None:
    """Postgres has committed, and the connection breaks before it can say so. Who takes that for a failure
    and does it again does it twice; here ids tell a repetition, and what is done waits no more.

    Without `Acceptance._tried` trying again, `enqueue` raises; with a claim that does not look whether the
    command still waits, it is applied twice."""
    link, url = through(own.settings.database, proxy)
    settings = own.settings.model_copy(update={"database_url": url})
    with PointsClient.connect(settings) as client:
        link.cut_commits(2)
        task_id = client.enqueue(Earn(**SHOP, amount=5, idempotency_key="once"))
        assert link.struck["cut"] == 2, "it had committed"
    task_ids = [task_id]
    with Ledger(settings) as ledger:
        (lane,) = ledger.waiting_lanes()
        # the batch itself; and the look at what waits, which notes the try
        for lose, struck in ((link.cut_commits, "cut"), (link.lose_replies, "lost")):
            before = link.struck[struck]
            lose(1)
            with suppress(*DATABASE_ERRORS):
                ledger.engine.drain(lane)
            assert link.struck[struck] == before + 1
            own.redis.flushdb()
            own.drain()
            task_ids.append(own.client.enqueue(Earn(**SHOP, amount=5)))
    own.drain()
    assert {outcome.state for outcome in own.client.outcomes(task_ids)} == {"applied"}
    assert (own.balance("anna"), own.counts("journal", "entries", "aliases")) == (15, [3, 3, 0])


def test_the_gap_of_brpop_in_kombu(ledger: Ledger, system: System) -> None:
    """Redis hands the message to a process that stands still and dies: neither queued nor unacknowledged, it
    is nowhere. Here it was only a doorbell; beat rings for what waits.

    Without `ring-waiting-lanes` in the timetable, the command waits for ever."""
    queue = f"{ledger.settings.redis_prefix}:{LANES_QUEUE}"
    wait_until(lambda: _waiting(ledger) >= 2, "both workers wait for messages")
    for worker in system.workers:
        worker.send_signal(signal.SIGSTOP)
    wait_until(lambda: all(state_of(worker.pid) == "T" for worker in system.workers), "they stand still")
    task_id = ledger.client.enqueue(Earn(tenant_id=TENANT, user_id="anna", amount=5))
    wait_until(lambda: not ledger.redis.llen(queue), "Redis has handed the message out")
    assert not ledger.redis.zcard("unacked_index")

    for worker in list(system.workers):
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    system.workers[:] = [system.start_worker(3)]

    wait_until(lambda: ledger.client.outcome(task_id).state == "applied", "it is applied")
    assert ledger.balance("anna", TENANT) == 5


def test_the_double_beat_of_redbeat(own: Ledger) -> None:
    """Two schedulers both believe that they hold the lock, and every job is sent twice. Here any number may
    ask: a run is a row per tenant and date, and its commands have the user and the moment as their key.

    Without `ON CONFLICT DO NOTHING` in `open_run` they stumble over each other; without the key of
    `SweepCommand` and the lease of `take_run`, each sends its own commands."""
    users = [f"user-{number}" for number in range(30)]
    own.apply(
        *(Earn(tenant_id="shop", user_id=user, amount=9, occurred_at=THEN, expires_at=DUE) for user in users)
    )
    ran_yesterday(own, EXPIRE_POINTS)
    accepted = own.counts("journal")[0]
    barrier = threading.Barrier(5)

    def beat(_: int) -> int:
        database = engine_for(own.settings.database)
        sweep = Sweep(database, Acceptance(database, own.doorbells, own.settings))
        barrier.wait(SECONDS)
        opened = sweep.open_runs(EXPIRE_POINTS)
        while sweep.expire_points():
            pass
        database.dispose()
        return opened

    with ThreadPoolExecutor(5) as beats:
        assert sum(beats.map(beat, range(5))) == 1, "one of them has opened the run"

    own.drain()
    assert own.counts("journal")[0] == accepted + len(users), "a command for each user"
    assert own.rows("SELECT count(*), sum(amount) FROM entries WHERE type = 'expire'") == [(30, 270)]


def _waiting(ledger: Ledger) -> int:
    """How many connections wait for a message in this test's own database of Valkey."""
    number = str(ledger.redis.connection_pool.connection_kwargs["db"])
    return sum(each["cmd"] == "brpop" and each["db"] == number for each in ledger.redis.client_list())
