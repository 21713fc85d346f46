"""Nothing that servers do ends a process: it waits, says so once, and goes on by itself."""

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager as Block
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import redis
from redis import Redis

from pointledger.errors import DatabaseAway
from tests.faults.surroundings import World, world
from tests.waiting import wait_until

_NOWHERE = ("127.0.0.1", "1")


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as opened:
        yield opened


Spoil = Callable[[World], Block[None]]


# -------------------------------------------------------------------------------------------------- Redis


@contextmanager
def configured(client: Redis, **settings: str) -> Iterator[None]:
    names = {name.replace("_", "-"): value for name, value in settings.items()}
    before = {name: str(client.config_get(name)[name]) for name in names}
    for name, value in names.items():
        client.config_set(name, value)
    yield
    for name, old in before.items():
        client.config_set(name, old)


@contextmanager
def read_only(world: World) -> Iterator[None]:
    """READONLY, as after a failover: it has become a replica, and waits for its master."""
    world.redis.replicaof(*_NOWHERE)
    yield
    world.redis.replicaof("NO", "ONE")


@contextmanager
def without_master(world: World) -> Iterator[None]:
    """MASTERDOWN: a replica that answers no question while its master is away."""
    with configured(world.redis, replica_serve_stale_data="no"):
        world.redis.replicaof(*_NOWHERE)
        yield
        world.redis.replicaof("NO", "ONE")


@contextmanager
def without_replicas(world: World) -> Iterator[None]:
    """NOREPLICAS."""
    with configured(world.redis, min_replicas_to_write="1"):
        yield


@contextmanager
def out_of_memory(world: World) -> Iterator[None]:
    """OOM."""
    with configured(world.redis, maxmemory="1mb"):
        yield


@contextmanager
def busy(world: World) -> Iterator[None]:
    """BUSY: a script of someone else does not end."""

    def run() -> None:
        with (
            suppress(redis.RedisError),
            Redis.from_url(world.ledger.settings.redis, socket_timeout=60) as client,
        ):
            client.eval("while true do end", 0)

    with configured(world.redis, busy_reply_threshold="100"):
        thread = threading.Thread(target=run)
        thread.start()
        yield
        world.redis.script_kill()
        thread.join(20)


@contextmanager
def with_another_password(world: World) -> Iterator[None]:
    """NOAUTH and WRONGPASS: the password was rotated, and old connections were closed."""
    password = world.redis.connection_pool.connection_kwargs["password"]
    with configured(world.redis, requirepass="another one"):
        world.redis.client_kill_filter(_type="normal", skipme=True)
        yield
    assert world.redis.config_get("requirepass")["requirepass"] == password


@contextmanager
def that_cannot_save(world: World) -> Iterator[None]:
    """MISCONF: its disk is full, so it can write no snapshot."""
    folder = world.redis.config_get("dir")["dir"]
    name = world.redis.config_get("dbfilename")["dbfilename"]
    os.mkdir(f"{folder}/{name}")  # a folder stands where the snapshot must be written
    with configured(world.redis, save="1 1"):
        world.redis.set("changed", "1")
        wait_until(lambda: world.redis.info("persistence")["rdb_last_bgsave_status"] != "ok", "it fails")
        yield
        os.rmdir(f"{folder}/{name}")
        world.redis.bgsave()
        wait_until(lambda: world.redis.info("persistence")["rdb_last_bgsave_status"] == "ok", "it saves")


@contextmanager
def frozen(world: World) -> Iterator[None]:
    """Half-open: connections stay, and nobody answers."""
    os.kill(world.servers.valkey_pid, signal.SIGSTOP)
    yield
    os.kill(world.servers.valkey_pid, signal.SIGCONT)


_SPOILED: list[object] = [
    read_only,
    with_another_password,
    *(
        pytest.param(spoil, marks=pytest.mark.long)
        for spoil in (without_master, without_replicas, out_of_memory, busy, that_cannot_save, frozen)
    ),
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
        connection.execute("LOCK TABLE outbox, outbox_slots IN EXCLUSIVE MODE")
        yield


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


# ---------------------------------------------------------------------------------------------- our own log


@pytest.mark.long
def test_no_process_needs_room_for_its_log(tmp_path: Path) -> None:
    with world(tmp_path, logs_are_full=True) as opened:
        with without_replicas(opened):  # everything has something to log
            task_id = opened.enqueue()
            opened.post()
        opened.require_work(task_id)
