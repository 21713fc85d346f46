"""Faults of Valkey: flushed, lost, old or stalled; locks and doorbells that are lost, doubled or late."""

import random
import shutil
import signal
from contextlib import suppress

import redis

from pointledger.messaging import contract
from tests.chaos.environment import Environment
from tests.chaos.nemesis import Fault, Nemesis, Steps
from tests.chaos.node import Node
from tests.processes import state_of

_WAIT_SECONDS = 60.0
_SNAPSHOT_SECONDS = 8.0


def valkey_is_flushed(nemesis: Nemesis, _: Node | None, chance: random.Random) -> Steps:
    injected = 0
    for _try in range(chance.randint(1, 3)):
        injected += int(nemesis.environment.redis.dbsize() > 0)
        nemesis.environment.redis.flushall()
        yield 0.5
    return injected


def valkey_starts_empty(nemesis: Nemesis, _: Node | None, __: random.Random) -> Steps:
    """It is killed and starts empty."""
    nemesis.environment.servers.valkey.kill()
    nemesis.environment.servers.valkey.wait(_WAIT_SECONDS)
    yield 0.5
    nemesis.environment.servers.start_valkey()
    return 1


def valkey_loses_a_second(nemesis: Nemesis, _: Node | None, __: random.Random) -> Steps:
    """It is killed and starts from its file, which lacks the last second."""
    nemesis.environment.redis.set("chaos:kept", "1")
    yield 1.5
    nemesis.environment.servers.valkey.kill()
    nemesis.environment.servers.valkey.wait(_WAIT_SECONDS)
    nemesis.environment.servers.start_valkey(remember=True)
    return int(bool(nemesis.environment.redis.exists("chaos:kept")))


def valkey_is_old(nemesis: Nemesis, _: Node | None, __: random.Random) -> Steps:
    """It starts from a copy that is some seconds old, so keys that were deleted since exist again."""
    folder, copy = nemesis.environment.home / "valkey", nemesis.environment.home / "valkey-old"
    shutil.rmtree(copy, ignore_errors=True)
    nemesis.environment.redis.set("chaos:old", "1")
    yield 1.2
    shutil.copytree(folder, copy)
    nemesis.environment.redis.delete("chaos:old")
    yield 2.0
    nemesis.environment.servers.valkey.kill()
    nemesis.environment.servers.valkey.wait(_WAIT_SECONDS)
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    nemesis.environment.servers.give(folder)
    nemesis.environment.servers.start_valkey(remember=True)
    return int(bool(nemesis.environment.redis.exists("chaos:old")))


def valkey_is_stalled(nemesis: Nemesis, _: Node | None, chance: random.Random) -> Steps:
    nemesis.environment.servers.valkey.send_signal(signal.SIGSTOP)
    yield chance.uniform(0.5, 5.0)
    injected = state_of(nemesis.environment.servers.valkey.pid) == "T"
    nemesis.environment.servers.valkey.send_signal(signal.SIGCONT)
    return int(injected)


def valkey_evicts(nemesis: Nemesis, _: Node | None, __: random.Random) -> Steps:
    """It evicts locks, marks of doorbells and queues."""
    client = nemesis.environment.redis
    before = int(client.info("stats")["evicted_keys"])
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", "1mb")
    yield 3.0
    injected = int(client.info("stats")["evicted_keys"]) - before
    client.config_set("maxmemory", "0")
    client.config_set("maxmemory-policy", "noeviction")
    return injected


def two_primaries(nemesis: Nemesis, node: Node | None, __: random.Random) -> Steps:
    """A worker uses another Valkey than the rest, as after a failover that not all have noticed."""
    assert node
    folder = nemesis.environment.home / f"valkey-of-{node.name}"
    server, port = nemesis.environment.servers.another_valkey(
        folder, log=nemesis.environment.home / "valkey-2.log"
    )
    kept, node.redis.port_of_server = node.redis.port_of_server, port
    node.redis.reset()
    with redis.Redis(port=port) as other:
        queue = f"{nemesis.environment.settings.redis_prefix}:{contract.LANES_QUEUE}"
        injected = 0
        for _try in range(30):
            yield 0.1
            injected += int(other.dbsize() > 0)
            with suppress(redis.RedisError):
                if message := nemesis.environment.redis.rpop(queue):
                    other.lpush(queue, str(message))  # so that the worker is also rung there
    node.redis.port_of_server = nemesis.environment.servers.ports["valkey"]
    node.redis.reset()
    server.kill()
    server.wait(_WAIT_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
    return int(injected > 0 and kept > 0)


def locks_are_lost(nemesis: Nemesis, _: Node | None, __: random.Random) -> Steps:
    """Delete the locks that are held, again and again, so others take the same lanes."""
    injected = 0
    for _try in range(20):
        held = [key for kind in ("lane", "user") for key in _keys(nemesis.environment, f"{kind}:*")]
        injected += int(nemesis.environment.redis.delete(*held)) if held else 0
        yield 0.05
    return injected


def locks_have_a_dead_holder(nemesis: Nemesis, _: Node | None, __: random.Random) -> Steps:
    """Give locks to a holder that does not exist: they are free when they expire, and not before."""
    injected = 0
    for _try in range(10):
        for key in _keys(nemesis.environment, "lane:*")[:4]:
            injected += bool(nemesis.environment.redis.set(key, "a dead holder", px=3_000, xx=True))
        yield 0.1
    return injected


def _keys(environment: Environment, pattern: str) -> list[str]:
    return list(environment.redis.scan_iter(f"{environment.settings.redis_prefix}:{pattern}", count=1000))


def _queue(environment: Environment) -> str:
    return f"{environment.settings.redis_prefix}:{contract.LANES_QUEUE}"


def rung_fifty_times(nemesis: Nemesis, _: Node | None, __: random.Random) -> Steps:
    """A message is delivered fifty times."""
    for _try in range(100):
        if found := nemesis.environment.redis.lrange(_queue(nemesis.environment), 0, 0):
            nemesis.environment.redis.lpush(_queue(nemesis.environment), *(found * 50))
            yield 0.5
            return 1
        yield 0.02
    return 0


def rung_late_and_in_any_order(nemesis: Nemesis, _: Node | None, chance: random.Random) -> Steps:
    """Messages are held back for seconds, and arrive in another order."""
    kept: list[str] = []
    for _try in range(60):
        if message := nemesis.environment.redis.rpop(_queue(nemesis.environment)):
            kept.append(str(message))
        yield 0.05
    chance.shuffle(kept)
    if kept:
        nemesis.environment.redis.lpush(_queue(nemesis.environment), *kept)
    return len(kept)


FAULTS = [
    Fault("F7 Valkey is flushed", "valkey", valkey_is_flushed, 1.5, weight=2),
    Fault("F7 Valkey starts empty", "valkey", valkey_starts_empty, 1.5),
    Fault("F9 Valkey loses its last second", "valkey", valkey_loses_a_second, 2.5),
    Fault("F8 Valkey is some seconds old", "valkey", valkey_is_old, 4.0),
    Fault("F5 Valkey is stalled", "valkey", valkey_is_stalled, 5.0),
    Fault("F11 Valkey evicts", "valkey", valkey_evicts, 3.5),
    Fault("F10 a worker has another Valkey", "worker", two_primaries, 4.5),
    Fault("F20 locks are lost while they are held", "valkey", locks_are_lost, 1.5),
    Fault("F21 locks have a dead holder", "valkey", locks_have_a_dead_holder, 1.5),
    Fault("F34 a lane is rung fifty times", "valkey", rung_fifty_times, 1.5),
    Fault("F35 doorbells arrive late and in any order", "valkey", rung_late_and_in_any_order, 3.5),
]
