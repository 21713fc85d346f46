"""A Valkey that runs and answers with errors. `INFO errorstats` counts them.

Workers go on without locks and doorbells, so no command waits for the end of these faults.
"""

import random
import shutil
import signal
import threading
from collections.abc import Generator
from contextlib import suppress

import redis

from tests.chaos.nemesis import Fault, Nemesis, Steps
from tests.chaos.node import Node

_DEAD_HOST = ("127.0.0.1", "1")  # no server listens on port 1
_SECONDS = (1.0, 4.0)
_POLL_SECONDS = 0.1
_POLLS = 100  # ten seconds: for a replica to copy a small Valkey
_BUSY_AFTER_MS = "100"  # the default is 5 s


def errors(client: redis.Redis, code: str) -> int:
    """Return how many errors of this code the server has returned since its start."""
    found = client.info().get(f"errorstat_{code}", 0)
    return int(found["count"] if isinstance(found, dict) else found)


def _with_setting(nemesis: Nemesis, code: str, name: str, value: str, seconds: float) -> Steps:
    """Change a setting for a while, and return how many errors of this code followed."""
    client = nemesis.environment.redis
    before, kept = errors(client, code), str(client.config_get(name)[name])
    client.config_set(name, value)
    yield seconds
    client.config_set(name, kept)
    return errors(client, code) - before


def read_only(nemesis: Nemesis, _: Node | None, chance: random.Random) -> Steps:
    """READONLY: it has become the replica of a dead primary."""
    client = nemesis.environment.redis
    before = errors(client, "READONLY")
    client.replicaof(*_DEAD_HOST)
    yield chance.uniform(*_SECONDS)
    client.replicaof("NO", "ONE")
    return errors(client, "READONLY") - before


def without_replicas(nemesis: Nemesis, _: Node | None, chance: random.Random) -> Steps:
    """NOREPLICAS: it refuses writes while no replica gets them."""
    seconds = chance.uniform(*_SECONDS)
    return (yield from _with_setting(nemesis, "NOREPLICAS", "min-replicas-to-write", "1", seconds))


def busy(nemesis: Nemesis, _: Node | None, chance: random.Random) -> Steps:
    """BUSY: another client's script does not end."""
    environment = nemesis.environment
    client = environment.redis
    before = errors(client, "BUSY")
    kept = str(client.config_get("busy-reply-threshold")["busy-reply-threshold"])
    client.config_set("busy-reply-threshold", _BUSY_AFTER_MS)
    script = threading.Thread(target=_run_endless_script, args=(environment.servers.ports["valkey"],))
    script.start()
    yield chance.uniform(*_SECONDS)
    while script.is_alive():
        with suppress(redis.RedisError):
            client.script_kill()
        yield _POLL_SECONDS
    client.config_set("busy-reply-threshold", kept)
    return errors(client, "BUSY") - before


def _run_endless_script(port: int) -> None:
    with suppress(redis.RedisError), redis.Redis(port=port, socket_timeout=60) as client:
        client.eval("while true do end", 0)


def cannot_save(nemesis: Nemesis, _: Node | None, chance: random.Random) -> Steps:
    """MISCONF: it cannot write its snapshot, as on a full disk, so it refuses writes."""
    client = nemesis.environment.redis
    before = errors(client, "MISCONF")
    snapshot = nemesis.environment.home / "valkey" / str(client.config_get("dbfilename")["dbfilename"])
    snapshot.unlink(missing_ok=True)
    snapshot.mkdir()  # a folder is where the snapshot must be written
    client.config_set("save", "1 1")
    yield from _wait_for_snapshot(client, "err")
    yield chance.uniform(*_SECONDS)
    snapshot.rmdir()
    client.config_set("save", "")
    with suppress(redis.ResponseError):  # one is being written
        client.bgsave()
    yield from _wait_for_snapshot(client, "ok")
    return errors(client, "MISCONF") - before


def _wait_for_snapshot(client: redis.Redis, status: str) -> Generator[float, None, None]:
    for _ in range(_POLLS):
        if client.info("persistence")["rdb_last_bgsave_status"] == status:
            return
        yield _POLL_SECONDS


def scripts_are_flushed(nemesis: Nemesis, _: Node | None, __: random.Random) -> Steps:
    """NOSCRIPT: it forgets all scripts, again and again."""
    client = nemesis.environment.redis
    before = errors(client, "NOSCRIPT")
    for _try in range(20):
        client.script_flush()
        yield 0.05
    return errors(client, "NOSCRIPT") - before


def promotion_fails(nemesis: Nemesis, _: Node | None, chance: random.Random) -> Steps:
    """All connections lead to a replica that is promoted seconds later; then the old primary is back."""
    environment = nemesis.environment
    folder = environment.home / "valkey-replica"
    server, port = environment.servers.another_valkey(folder, log=environment.home / "valkey-replica.log")
    with redis.Redis(port=port, decode_responses=True) as replica:
        replica.replicaof("127.0.0.1", str(environment.servers.ports["valkey"]))
        yield from _wait_for_copy(replica)
        environment.point_at_valkey(port)
        yield chance.uniform(*_SECONDS)
        injected = errors(replica, "READONLY")
        replica.replicaof("NO", "ONE")
        yield 1.0
    environment.point_at_valkey(environment.servers.ports["valkey"])
    server.send_signal(signal.SIGKILL)
    server.wait()
    shutil.rmtree(folder, ignore_errors=True)
    return injected


def _wait_for_copy(replica: redis.Redis) -> Generator[float, None, None]:
    for _ in range(_POLLS):
        if replica.info("replication")["master_link_status"] == "up":
            return
        yield _POLL_SECONDS


def out_of_memory(nemesis: Nemesis, _: Node | None, __: random.Random) -> Steps:
    """OOM: every write is an error."""
    return (yield from _with_setting(nemesis, "OOM", "maxmemory", "1mb", 3.0))


FAULTS = [
    Fault("F6 Valkey is out of memory", "valkey", out_of_memory, 3.5),
    Fault("F63 Valkey is read-only", "valkey", read_only, 4.5),
    Fault("F64 Valkey has no replicas", "valkey", without_replicas, 4.5),
    Fault("F65 Valkey is busy with a script", "valkey", busy, 5.0),
    Fault("F66 Valkey cannot save", "valkey", cannot_save, 7.0),
    Fault("F67 Valkey forgets its scripts", "valkey", scripts_are_flushed, 1.5),
    Fault("F68 a promotion of Valkey fails", "valkey", promotion_fails, 6.5),
]
