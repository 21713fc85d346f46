"""Faults of Valkey: flushed, lost, old, frozen, full; locks and rings that it forgets or repeats."""

import random
import shutil
import signal
from contextlib import suppress

import redis

from pointledger.messaging import contract
from tests.chaos.nemesis import Doing, Fault, Run
from tests.chaos.part import Part
from tests.chaos.stage import Stage
from tests.processes import state_of

_WAIT_SECONDS = 20.0
_SNAPSHOT_SECONDS = 8.0


def valkey_is_flushed(run: Run, _: Part | None, chance: random.Random) -> Doing:
    injected = 0
    for _try in range(chance.randint(1, 3)):
        injected += int(run.stage.redis.dbsize() > 0)
        run.stage.redis.flushall()
        yield 0.5
    return injected


def valkey_is_lost(run: Run, _: Part | None, __: random.Random) -> Doing:
    """Killed, and it remembers nothing."""
    run.stage.valkey.kill()
    run.stage.valkey.wait(_WAIT_SECONDS)
    yield 0.5
    run.stage.start_valkey()
    return 1


def valkey_forgets_a_second(run: Run, _: Part | None, __: random.Random) -> Doing:
    """Killed, and it remembers what its file has: all but the last second."""
    run.stage.redis.set("chaos:kept", "1")
    yield 1.5
    run.stage.valkey.kill()
    run.stage.valkey.wait(_WAIT_SECONDS)
    run.stage.start_valkey(remember=True)
    return int(bool(run.stage.redis.exists("chaos:kept")))


def valkey_is_old(run: Run, _: Part | None, __: random.Random) -> Doing:
    """It starts from a copy that is some seconds old: what was done since is there again."""
    folder, copy = run.stage.home / "valkey", run.stage.home / "valkey-old"
    shutil.rmtree(copy, ignore_errors=True)
    run.stage.redis.set("chaos:old", "1")
    yield 1.2
    shutil.copytree(folder, copy)
    run.stage.redis.delete("chaos:old")
    yield 2.0
    run.stage.valkey.kill()
    run.stage.valkey.wait(_WAIT_SECONDS)
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    run.stage.give(folder)
    run.stage.start_valkey(remember=True)
    return int(bool(run.stage.redis.exists("chaos:old")))


def valkey_is_frozen(run: Run, _: Part | None, chance: random.Random) -> Doing:
    run.stage.valkey.send_signal(signal.SIGSTOP)
    yield chance.uniform(0.5, 5.0)
    injected = state_of(run.stage.valkey.pid) == "T"
    run.stage.valkey.send_signal(signal.SIGCONT)
    return int(injected)


def _with_memory(run: Run, policy: str, seconds: float, counter: str) -> Doing:
    info = run.stage.redis.info
    before = _counted(info(), counter)
    run.stage.redis.config_set("maxmemory-policy", policy)
    run.stage.redis.config_set("maxmemory", "1mb")
    yield seconds
    injected = _counted(info(), counter) - before
    run.stage.redis.config_set("maxmemory", "0")
    run.stage.redis.config_set("maxmemory-policy", "noeviction")
    return injected


def _counted(info: dict[str, object], counter: str) -> int:
    found = info.get(counter, 0)
    if isinstance(found, dict):
        found = found.get("count", 0)
    return int(str(found))


def valkey_is_full(run: Run, _: Part | None, __: random.Random) -> Doing:
    """Every write is an error."""
    return (yield from _with_memory(run, "noeviction", 3.0, "errorstat_OOM"))


def valkey_evicts(run: Run, _: Part | None, __: random.Random) -> Doing:
    """It throws keys away as it likes: locks, doors, queues."""
    return (yield from _with_memory(run, "allkeys-lru", 3.0, "evicted_keys"))


def two_masters(run: Run, part: Part | None, __: random.Random) -> Doing:
    """A worker talks to another Valkey than the rest, as after a failover that not all have seen."""
    assert part
    folder = run.stage.home / f"valkey-of-{part.name}"
    folder.mkdir(exist_ok=True)
    run.stage.give(folder)
    server, port = run.stage.another_valkey(folder, log=run.stage.home / "valkey-2.log")
    kept, part.redis.port_of_server = part.redis.port_of_server, port
    part.redis.reset()
    with redis.Redis(port=port) as other:
        queue = f"{run.stage.settings.redis_prefix}:{contract.LANES_QUEUE}"
        injected = 0
        for _try in range(30):
            yield 0.1
            injected += int(other.dbsize() > 0)
            with suppress(redis.RedisError):
                if message := run.stage.redis.rpop(queue):
                    other.lpush(queue, str(message))  # who works for one and is rung by the other
    part.redis.port_of_server = run.stage.ports["valkey"]
    part.redis.reset()
    server.kill()
    server.wait(_WAIT_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
    return int(injected > 0 and kept > 0)


def locks_are_lost(run: Run, _: Part | None, __: random.Random) -> Doing:
    """Those that are held, again and again: others take the same lanes."""
    injected = 0
    for _try in range(20):
        held = [key for kind in ("lane", "user") for key in _keys(run.stage, f"{kind}:*")]
        injected += int(run.stage.redis.delete(*held)) if held else 0
        yield 0.05
    return injected


def locks_are_stolen(run: Run, _: Part | None, __: random.Random) -> Doing:
    """Held by nobody who lives: they are free again when their time is over, and not before."""
    injected = 0
    for _try in range(10):
        for key in _keys(run.stage, "lane:*")[:4]:
            injected += bool(run.stage.redis.set(key, "nobody", px=3_000, xx=True))
        yield 0.1
    return injected


def _keys(stage: Stage, pattern: str) -> list[str]:
    return list(stage.redis.scan_iter(f"{stage.settings.redis_prefix}:{pattern}", count=1000))


def _queue(stage: Stage) -> str:
    return f"{stage.settings.redis_prefix}:{contract.LANES_QUEUE}"


def rung_fifty_times(run: Run, _: Part | None, __: random.Random) -> Doing:
    """A message is delivered fifty times, to whoever wants it."""
    for _try in range(100):
        if found := run.stage.redis.lrange(_queue(run.stage), 0, 0):
            run.stage.redis.lpush(_queue(run.stage), *(found * 50))
            yield 0.5
            return 1
        yield 0.02
    return 0


def rung_late_and_in_any_order(run: Run, _: Part | None, chance: random.Random) -> Doing:
    """Messages are kept back for seconds, and come in another order."""
    kept: list[str] = []
    for _try in range(60):
        if message := run.stage.redis.rpop(_queue(run.stage)):
            kept.append(str(message))
        yield 0.05
    chance.shuffle(kept)
    if kept:
        run.stage.redis.lpush(_queue(run.stage), *kept)
    return len(kept)


FAULTS = [
    Fault("F7 Valkey is flushed", "valkey", valkey_is_flushed, 1.5, weight=2),
    Fault("F7 Valkey is lost", "valkey", valkey_is_lost, 1.5),
    Fault("F9 Valkey forgets its last second", "valkey", valkey_forgets_a_second, 2.5),
    Fault("F8 Valkey is some seconds old", "valkey", valkey_is_old, 4.0),
    Fault("F5 Valkey stands still", "valkey", valkey_is_frozen, 5.0),
    Fault("F6 Valkey is full", "valkey", valkey_is_full, 3.5),
    Fault("F11 Valkey evicts", "valkey", valkey_evicts, 3.5),
    Fault("F10 a worker has another Valkey", "worker", two_masters, 4.5),
    Fault("F20 locks are lost while they are held", "valkey", locks_are_lost, 1.5),
    Fault("F21 locks are held by nobody", "valkey", locks_are_stolen, 1.5),
    Fault("F34 a lane is rung fifty times", "valkey", rung_fifty_times, 1.5),
    Fault("F35 rings come late and in any order", "valkey", rung_late_and_in_any_order, 3.5),
]
