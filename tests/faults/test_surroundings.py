"""Nothing that servers do ends a process: it waits, says so once, and goes on by itself."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager as Block
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from pointledger import Earn, Freeze
from pointledger.errors import DatabaseAway
from pointledger.messaging import contract
from pointledger.messaging.celery_app import producer_app
from pointledger.settings import Settings
from tests.chaos.small_disk import may_mount
from tests.faults.full_disk import small_disk
from tests.faults.redis_answers import RedisInFront
from tests.faults.spoiled_redis import (
    busy,
    frozen,
    loading,
    moving_slots,
    out_of_memory,
    read_only,
    that_cannot_save,
    with_another_password,
    without_all_slots,
    without_master,
    without_replicas,
)
from tests.faults.surroundings import World, world
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    in_front: list[RedisInFront] = []

    def through(_: object, settings: Settings) -> Settings:
        url = urlsplit(settings.redis)
        in_front.append(RedisInFront(url.port or 0))
        near = url._replace(netloc=url.netloc.replace(f":{url.port}", f":{in_front[0].port}"))
        return settings.model_copy(update={"redis_url": near.geturl()})

    with world(tmp_path_factory.mktemp("world"), through=through) as opened:
        opened.redis_in_front = in_front[0]
        yield opened
    in_front[0].stop()


Spoil = Callable[[World], Block[None]]


# -------------------------------------------------------------------------------------------------- Redis

_SPOILED: list[object] = [
    read_only,
    with_another_password,
    *(
        pytest.param(spoil, marks=pytest.mark.long)
        for spoil in (without_master, without_replicas, out_of_memory, busy, that_cannot_save, frozen)
    ),
    *(pytest.param(spoil, marks=pytest.mark.long) for spoil in (loading, without_all_slots, moving_slots)),
]


@pytest.mark.parametrize("spoil", _SPOILED, ids=lambda spoil: spoil.__name__)
def test_processes_wait_for_a_redis_that_is(everything: World, spoil: Spoil) -> None:
    everything.forget_lines()
    with spoil(everything):
        task_id = everything.enqueue()
        # The relay and beat write to Redis all the time, so they notice. Beat waits longer for an answer.
        noticing = {"relay": "relay_waits"} | ({} if spoil is frozen else {"beat": "broker_is_away"})
        for name, line in noticing.items():
            everything.wait_for_line(name, line)
        if spoil is not frozen:  # then each lock waits for its time-out
            outcome = everything.ledger.client.wait(task_id, timeout=20)
            assert outcome.state == "applied", "a worker finds it without a doorbell"
    everything.require_work(task_id)
    for name, line in noticing.items():
        everything.wait_for_line(name, {"relay_waits": "relay_continues"}.get(line, "broker_is_back"))
    for name in everything.processes:
        log = everything.new_lines(name)
        told = Counter(json.loads(line)["action"] for line in log.splitlines() if '_is_away"' in line)
        assert not told or max(told.values()) <= 2, "each part tells it once, or twice if Redis wavers"
        assert "Traceback" not in log


# ------------------------------------------------------------------------------------------------ Postgres


@contextmanager
def database_is_read_only(world: World) -> Iterator[None]:
    """25006, as after a failover."""
    world.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    world.sql("SELECT pg_reload_conf()")
    yield
    world.sql("ALTER SYSTEM RESET default_transaction_read_only")
    world.sql("SELECT pg_reload_conf()")


@contextmanager
def database_refuses_connections(world: World) -> Iterator[None]:
    """53300: too many connections."""
    world.sql("ALTER ROLE pointledger_worker CONNECTION LIMIT 0")
    world.end_sessions()
    yield
    world.sql("ALTER ROLE pointledger_worker CONNECTION LIMIT -1")


@contextmanager
def database_is_locked(world: World) -> Iterator[None]:
    """55P03: someone holds locks that writers wait for, as CREATE INDEX does."""
    with psycopg.connect(world.ledger.settings.owner) as connection:
        while not _is_locked(connection):
            connection.rollback()
        yield


def _is_locked(connection: psycopg.Connection[Any]) -> bool:
    """Lock the tables; False if a process held one of them and waited for the other."""
    try:
        connection.execute("LOCK TABLE outbox, outbox_slots IN EXCLUSIVE MODE")
    except psycopg.errors.DeadlockDetected:
        return False
    return True


@contextmanager
def statements_are_canceled(world: World) -> Iterator[None]:
    """57014: an operator, or a time-out of the database, cancels the statements of event processes."""
    stop = threading.Event()

    def cancel() -> None:
        with psycopg.connect(world.ledger.settings.owner, autocommit=True) as connection:
            while not stop.is_set():
                connection.execute(
                    """SELECT pg_cancel_backend(pid) FROM pg_stat_activity
                       WHERE pid <> pg_backend_pid() AND state = 'active' AND query LIKE '%outbox%'"""
                )

    thread = threading.Thread(target=cancel)
    thread.start()
    yield
    stop.set()
    thread.join(20)


_SPOILED_DATABASES: list[object] = [
    database_is_read_only,
    statements_are_canceled,
    pytest.param(database_refuses_connections, marks=pytest.mark.long),
    pytest.param(database_is_locked, marks=pytest.mark.long),
]


@pytest.mark.parametrize("spoil", _SPOILED_DATABASES, ids=lambda spoil: spoil.__name__)
def test_processes_wait_while_the(everything: World, spoil: Spoil) -> None:
    everything.forget_lines()
    task_id = everything.enqueue()
    with spoil(everything):
        if spoil in (database_is_read_only, database_refuses_connections):
            wait_until(lambda: everything.post() == (503, "1"), "the API says when to come again", 15)
            with pytest.raises(DatabaseAway):
                everything.enqueue()
        everything.wait_for_line("relay", "relay_waits")
        everything.require_alive()
    everything.require_work(task_id)
    assert everything.ledger.rows("SELECT FROM failures") == [], "no command is charged"
    assert everything.new_lines("relay").count("relay_waits") == 1


@pytest.mark.long
def test_what_accepts_commands_gives_up_a_locked_journal_and_accepts_them_later(everything: World) -> None:
    """57014: a table's lock is not among those that `lock_timeout` of the journal's statement limits.

    A job runs in the thread that applies commands, so its worker would apply none meanwhile.
    """
    everything.require_commands_by_name()  # so no outage lasts, and the next is logged
    everything.forget_lines()
    ledger, settings = everything.ledger, everything.ledger.settings
    who: dict[str, Any] = {"tenant_id": "shop", "user_id": "a-user-with-a-hold"}
    due_at = datetime.now(UTC) + timedelta(seconds=2)
    tasks = ledger.client.enqueue_many([Earn(**who, amount=5), Freeze(**who, amount=5, expires_at=due_at)])
    assert ledger.client.wait(tasks[-1], timeout=20).state == "applied"
    with psycopg.connect(settings.owner) as connection:
        connection.execute("LOCK TABLE journal IN EXCLUSIVE MODE")
        task_id = everything.send_by_name()
        wait_until(lambda: datetime.now(UTC) > due_at, "the hold is due")
        producer_app(settings).send_task(contract.RELEASE_HOLDS_TASK)
        everything.wait_for_line("worker-1", "commands_wait")
        everything.wait_for_line("worker-1", "DatabaseAway")
    everything.require_work(task_id)
    released = "SELECT FROM holds WHERE state = 'timed_out'"
    wait_until(lambda: ledger.rows(released) != [], "the job releases the hold")


@pytest.mark.long
@pytest.mark.skipif(not may_mount(), reason="mounts a file system")
def test_processes_wait_while_a_disk_of_postgres_is_full(everything: World) -> None:
    """53100."""
    everything.forget_lines()
    with small_disk(everything) as disk:
        disk.take("entries")
        with disk.full():
            tasks = [everything.enqueue() for _ in range(200)]  # their entries fill more than a page
            everything.wait_for_line("worker-1", "DiskFull")
            everything.require_alive()
        everything.require_work(*tasks)
        disk.give_back("entries")
        disk.take("journal")
        with disk.full():
            wait_until(lambda: everything.post() == (503, "1"), "the API says when to come again", 15)
            with pytest.raises(DatabaseAway):
                everything.enqueue()
            everything.require_alive()
        everything.require_work()
        disk.give_back("journal")
    assert everything.ledger.rows("SELECT FROM failures") == [], "no command is charged"
