"""Faults of processes: killed, stalled, terminated or missing; without files, a log or the right time."""

import os
import random
import resource
import shutil
import signal
import subprocess
from pathlib import Path

from redis import RedisError

from pointledger.messaging import contract
from tests.chaos.environment import Environment
from tests.chaos.nemesis import Fault, Nemesis, Steps, connected
from tests.chaos.node import Node

LOCKS_EXPIRE = 11.0  # seconds: longer than a lock lives
_BACKLOG_POLLS = 300  # half a minute: to apply what earlier faults have left pending
_POLLS = 100  # ten seconds: to ring
CLOCK = Path(__file__).parent / "clock.c"


def killed(nemesis: Nemesis, node: Node | None, _: random.Random) -> Steps:
    """Send SIGKILL at any moment."""
    worker = yield from connected(node)
    injected = worker.send(signal.SIGKILL)
    yield 0.1
    return int(injected)


def terminated(nemesis: Nemesis, node: Node | None, _: random.Random) -> Steps:
    """Send SIGTERM, as a deployment does.

    The process finishes its work and exits with status 0, or with the signal, as uvicorn does.
    """
    worker = yield from connected(node)
    process = worker.process
    if process is None or worker.is_stopped or not worker.send(signal.SIGTERM):
        return 0
    while process.poll() is None and not worker.is_stopped:
        yield 0.2
    return int(process.returncode in (0, -signal.SIGTERM))


def stalled(nemesis: Nemesis, node: Node | None, chance: random.Random) -> Steps:
    """Send SIGSTOP and continue the process before its locks expire."""
    return (yield from _stalled(nemesis, node, chance.uniform(0.5, 4.0)))


def stalled_until_locks_expire(nemesis: Nemesis, node: Node | None, _: random.Random) -> Steps:
    """Continue it when others have its lanes and Postgres has ended its transaction."""
    return (yield from _stalled(nemesis, node, LOCKS_EXPIRE))


def _stalled(nemesis: Nemesis, node: Node | None, seconds: float) -> Steps:
    assert node
    nemesis.stall(node)
    yield seconds
    injected = node.is_stopped
    nemesis.resume(node)
    return int(injected)


def stopped_rung_killed(nemesis: Nemesis, _: Node | None, chance: random.Random) -> Steps:
    """Lose a message that Valkey delivers to a BRPOP of a stopped process.

    The clients are silent until it stops, because a worker under load does not wait for messages.
    """
    node = yield from connected(chance.choice(nemesis.environment.workers))
    for client in nemesis.environment.clients:
        nemesis.stall(client)
    waits = False
    for _try in range(_BACKLOG_POLLS):
        if _waits_for_a_message(nemesis.environment, node):
            nemesis.stall(node)
            yield 0.1  # until it has stopped
            if waits := _waits_for_a_message(nemesis.environment, node):
                break
            nemesis.resume(node)  # a message arrived between the check and the signal
        yield 0.1
    for client in nemesis.environment.clients:
        nemesis.resume(client)
    delivered = False
    for _try in range(_POLLS):
        if delivered or not (waits and node.is_stopped):
            break
        delivered = not _waits_for_a_message(nemesis.environment, node)
        yield 0.1
    node.send(signal.SIGKILL)
    nemesis.resume(node)
    return int(delivered)


def _waits_for_a_message(environment: Environment, node: Node) -> bool:
    """Whether Valkey holds the node's BRPOP open."""
    ports = node.redis.ports
    try:
        return any(
            int(each["addr"].rpartition(":")[2]) in ports and each["cmd"] == "brpop" and "b" in each["flags"]
            for each in environment.redis.client_list()
        )
    except RedisError:  # Valkey is down, so no process waits for a message
        return False


def beat_is_missing(nemesis: Nemesis, node: Node | None, _: random.Random) -> Steps:
    """Kill beat, so no process rings for lost doorbells, and start it seconds later."""
    assert node
    node.is_wanted = False
    injected = node.send(signal.SIGKILL)
    yield 5.0
    gone = not node.is_alive
    node.is_wanted = True
    return int(injected and gone)


def five_beats(nemesis: Nemesis, node: Node | None, _: random.Random) -> Steps:
    """Start four more processes of beat."""
    assert node
    more = [nemesis.environment.node(f"beat-{number}", node.command) for number in range(2, 6)]
    for beat in more:
        nemesis.environment.start(beat)
    yield 6.0
    alive = sum(beat.is_alive for beat in [node, *more])
    for beat in more:
        beat.end(signal.SIGKILL, 5.0)
    return int(alive == len(more) + 1)


def out_of_files(nemesis: Nemesis, node: Node | None, _: random.Random) -> Steps:
    """Break its connections while it may open no file."""
    node = yield from connected(node)
    if not node.is_alive:
        return 0
    pid = node.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (5, before[1]))
    node.database.reset()
    node.redis.reset()
    yield 1.5
    injected = node.is_alive and node.pid == pid and node.database.connections == 0
    if node.is_alive and node.pid == pid:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    return int(injected)


def logs_are_full(nemesis: Nemesis, node: Node | None, _: random.Random) -> Steps:
    """Start another life in which every write to the log fails with ENOSPC."""
    assert node
    node.is_wanted = False
    node.end(signal.SIGKILL, 5.0)
    nemesis.environment.start(node, log=Path("/dev/full"))
    node.is_wanted = True
    yield 5.0
    return int(node.is_alive and os.readlink(f"/proc/{node.pid}/fd/2") == "/dev/full")


def logs_are_stuck(nemesis: Nemesis, node: Node | None, _: random.Random) -> Steps:
    """Start another life whose log is not read, so it hangs in a write; then kill it."""
    assert node
    fifo = nemesis.environment.home / f"{node.name}.fifo"
    fifo.unlink(missing_ok=True)
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        while True:
            os.write(reader, b"." * 4096)
    except BlockingIOError:
        pass
    node.is_wanted = False
    node.end(signal.SIGKILL, 5.0)
    nemesis.environment.start(node, log=fifo)
    yield 6.0
    injected = node.is_alive and _hangs_in_a_write(node.pid)
    node.send(signal.SIGKILL)
    node.is_wanted = True
    os.close(reader)
    fifo.unlink()
    return int(injected)


def _hangs_in_a_write(pid: int) -> bool:
    try:
        return "pipe_write" in Path(f"/proc/{pid}/wchan").read_text() or _writes_to_log(pid)
    except OSError:
        return False


def _writes_to_log(pid: int) -> bool:
    """Whether it is in write(2), number 1 or 64, to stdout or stderr: some kernels do not fill wchan."""
    words = Path(f"/proc/{pid}/syscall").read_text().split()
    return words[0] in ("1", "64") and int(words[1], 16) in (1, 2)


def clock_is_wrong(nemesis: Nemesis, node: Node | None, chance: random.Random) -> Steps:
    """Start another life whose clock is a day ahead or an hour behind."""
    assert node
    home = nemesis.environment.home
    library, seen = home / "clock.so", home / f"clock-{node.name}"
    if not library.exists():
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, CLOCK, "-ldl"], check=True)
        library.chmod(0o755)
    seen.unlink(missing_ok=True)
    node.is_wanted = False
    node.end(signal.SIGKILL, 5.0)
    node.environment |= {
        "LD_PRELOAD": str(library),
        "CHAOS_CLOCK_SECONDS": chance.choice(["86400", "-3600"]),
        "CHAOS_CLOCK_SEEN": str(seen),
    }
    nemesis.environment.start(node)
    node.is_wanted = True
    yield 6.0
    node.send(signal.SIGKILL)  # the next life has the right time again
    return int(seen.exists())


def poisoned_queue(nemesis: Nemesis, node: Node | None, chance: random.Random) -> Steps:
    """Put a malformed message into the workers' queue. A worker must take it and go on."""
    poison = chance.choice(["", "[]", "null", "not JSON", '{"body": {}}', '{"headers": {}, "body": "e30="}'])
    environment = nemesis.environment
    queue = f"{environment.settings.redis_prefix}:{contract.LANES_QUEUE}"
    environment.redis.rpush(queue, poison)
    for _try in range(50):
        if poison not in environment.redis.lrange(queue, 0, -1):
            return 1
        yield 0.1
    return 0


FAULTS = [
    Fault("F13 a worker is killed", "worker", killed, 2.0, weight=3),
    Fault("F14 a worker gets SIGTERM", "worker", terminated, 4.0),
    Fault("F18 a worker is stalled", "worker", stalled, 4.0),
    Fault("F17 a worker is stalled until its locks expire", "worker", stalled_until_locks_expire, 11.5),
    Fault("F12 a worker is stopped, rung and killed", "links", stopped_rung_killed, 6.0),
    Fault("F57 a worker may open no files", "worker", out_of_files, 2.0),
    Fault("F30 a worker's log is full", "worker", logs_are_full, 5.5),
    Fault("F58 a worker's log is not read", "worker", logs_are_stuck, 6.5),
    Fault("F49 poison is in the queue", "valkey", poisoned_queue, 2.0),
    Fault("F2 a client is killed", "client", killed, 1.0, weight=3),
    Fault("F1 a client is stalled", "client", stalled, 4.0),
    Fault("F41 beat is missing", "beat", beat_is_missing, 5.5),
    Fault("F42 five beats run", "beat", five_beats, 7.0),
]
if shutil.which("cc"):
    FAULTS.append(Fault("F39 a worker's clock is wrong", "worker", clock_is_wrong, 6.5))
