"""What a Redis does to its clients: each block makes the world's Redis so until it ends."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager as Block
from contextlib import contextmanager, suppress

import redis
from redis import Redis

from tests.faults.surroundings import World
from tests.waiting import wait_until

_NOWHERE = ("127.0.0.1", "1")


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
        thread.join(60)


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


@contextmanager
def answering(world: World, error: str) -> Iterator[None]:
    assert world.redis_in_front is not None
    refused = world.redis_in_front.refused
    world.redis_in_front.answer(error)
    yield
    assert world.redis_in_front.refused > refused
    world.redis_in_front.answer()


def loading(world: World) -> Block[None]:
    """LOADING: it has restarted, and reads its data."""
    return answering(world, "LOADING Redis is loading the dataset in memory")


def without_all_slots(world: World) -> Block[None]:
    """CLUSTERDOWN: a node of its cluster is lost, and the others have not agreed who replaces it."""
    return answering(world, "CLUSTERDOWN The cluster is down")


def moving_slots(world: World) -> Block[None]:
    """TRYAGAIN: the keys of a command are on two nodes while their slot moves."""
    return answering(world, "TRYAGAIN Multiple keys request during rehashing of slot")
