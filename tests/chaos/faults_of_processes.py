"""Faults of processes: killed, frozen, ended, alone, many, without files, logs or the right time."""

import os
import random
import resource
import shutil
import signal
import subprocess
from pathlib import Path

from pointledger.messaging import contract
from tests.chaos.nemesis import Doing, Fault, Run, at_work
from tests.chaos.part import Part
from tests.chaos.stage import Stage

LOCKS_RUN_OUT = 11.0  # seconds: longer than a lock lives
CLOCK = Path(__file__).parent / "clock.c"


def killed(run: Run, part: Part | None, _: random.Random) -> Doing:
    """SIGKILL, wherever it is."""
    worker = yield from at_work(part)
    injected = worker.send(signal.SIGKILL)
    yield 0.1
    return int(injected)


def ended(run: Run, part: Part | None, _: random.Random) -> Doing:
    """SIGTERM, as at a deployment: it finishes what it has begun, and says that all is well, or that it was
    told to end, as uvicorn does."""
    worker = yield from at_work(part)
    process = worker.process
    if process is None or worker.stands_still or not worker.send(signal.SIGTERM):
        return 0
    while process.poll() is None and not worker.stands_still:
        yield 0.2
    return int(process.returncode in (0, -signal.SIGTERM))


def frozen_for_a_moment(run: Run, part: Part | None, chance: random.Random) -> Doing:
    """SIGSTOP, for less than its locks live."""
    assert part
    run.freeze(part)
    yield chance.uniform(0.5, 4.0)
    injected = part.stands_still
    run.thaw(part)
    return int(injected)


def frozen_beyond_its_locks(run: Run, part: Part | None, _: random.Random) -> Doing:
    """SIGSTOP, until others have its lanes and Postgres has ended its transaction; then it goes on."""
    assert part
    run.freeze(part)
    yield LOCKS_RUN_OUT
    injected = part.stands_still
    run.thaw(part)
    return int(injected)


def stopped_rung_killed(run: Run, _: Part | None, chance: random.Random) -> Doing:
    """The gap of BRPOP: the message goes to a process that stands still, and dies with it. The clients are
    silent until it stands, for a worker under load waits for no message."""
    part = yield from at_work(chance.choice(run.stage.workers))
    for client in run.stage.clients:
        run.freeze(client)
    waits = False
    for _try in range(200):
        if _waits_for_a_message(run.stage, part):
            run.freeze(part)
            if waits := _waits_for_a_message(run.stage, part):
                break
            run.thaw(part)  # one came between the look and the stop
        yield 0.1
    for client in run.stage.clients:
        run.thaw(client)
    delivered = False
    while waits and not delivered and part.stands_still:
        delivered = not _waits_for_a_message(run.stage, part)
        yield 0.1
    part.send(signal.SIGKILL)
    run.thaw(part)
    return int(delivered)


def _waits_for_a_message(stage: Stage, part: Part) -> bool:
    """Whether Valkey holds its BRPOP open."""
    ports = part.redis.ports
    try:
        return any(
            int(each["addr"].rpartition(":")[2]) in ports and each["cmd"] == "brpop" and "b" in each["flags"]
            for each in stage.redis.client_list()
        )
    except Exception:  # away: then it waits for nothing
        return False


def beat_is_away(run: Run, part: Part | None, _: random.Random) -> Doing:
    """Nobody rings for lost doorbells for a while."""
    assert part
    part.is_wanted = False
    injected = part.send(signal.SIGKILL)
    yield 5.0
    gone = not part.is_alive
    part.is_wanted = True
    return int(injected and gone)


def five_beats(run: Run, part: Part | None, _: random.Random) -> Doing:
    """Everybody asks for everything at once."""
    assert part
    more = [run.stage.twin(part, f"beat-{number}") for number in range(2, 6)]
    for beat in more:
        run.stage.start(beat)
    yield 6.0
    alive = sum(beat.is_alive for beat in [part, *more])
    for beat in more:
        beat.end(signal.SIGKILL, 5.0)
    return int(alive == len(more) + 1)


def out_of_files(run: Run, part: Part | None, _: random.Random) -> Doing:
    """Its connections break, and it may open nothing."""
    part = yield from at_work(part)
    if not part.is_alive:
        return 0
    pid = part.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (5, before[1]))
    part.database.reset()
    part.redis.reset()
    yield 1.5
    injected = part.is_alive and part.pid == pid and part.database.connections == 0
    if part.is_alive and part.pid == pid:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    return int(injected)


def logs_are_full(run: Run, part: Part | None, _: random.Random) -> Doing:
    """Another life, whose every line of log fails with ENOSPC."""
    assert part
    part.is_wanted = False
    part.end(signal.SIGKILL, 5.0)
    run.stage.start(part, log=Path("/dev/full"))
    part.is_wanted = True
    yield 5.0
    return int(part.is_alive and os.readlink(f"/proc/{part.pid}/fd/2") == "/dev/full")


def logs_are_stuck(run: Run, part: Part | None, _: random.Random) -> Doing:
    """Another life, whose log nobody reads: in the end it stands still in a write, and somebody kills it."""
    assert part
    fifo = run.stage.home / f"{part.name}.fifo"
    fifo.unlink(missing_ok=True)
    os.mkfifo(fifo)
    nobody = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        while True:
            os.write(nobody, b"." * 4096)
    except BlockingIOError:
        pass
    part.is_wanted = False
    part.end(signal.SIGKILL, 5.0)
    run.stage.start(part, log=fifo)
    yield 6.0
    injected = part.is_alive and _sleeps_in_a_pipe(part.pid)
    part.send(signal.SIGKILL)
    part.is_wanted = True
    os.close(nobody)
    fifo.unlink()
    return int(injected)


def _sleeps_in_a_pipe(pid: int) -> bool:
    try:
        return "pipe_write" in Path(f"/proc/{pid}/wchan").read_text() or _writes_to_log(pid)
    except OSError:
        return False


def _writes_to_log(pid: int) -> bool:
    """Where the kernel does not tell in what it sleeps: in write(2), number 1 or 64, to its second
    descriptor."""
    words = Path(f"/proc/{pid}/syscall").read_text().split()
    return words[0] in ("1", "64") and int(words[1], 16) in (1, 2)


def clock_is_wrong(run: Run, part: Part | None, chance: random.Random) -> Doing:
    """Another life, a day ahead or an hour behind."""
    assert part
    library, seen = run.stage.home / "clock.so", run.stage.home / f"clock-{part.name}"
    if not library.exists():
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, CLOCK, "-ldl"], check=True)
        library.chmod(0o755)
    seen.unlink(missing_ok=True)
    part.is_wanted = False
    part.end(signal.SIGKILL, 5.0)
    part.environment |= {
        "LD_PRELOAD": str(library),
        "CHAOS_CLOCK_SECONDS": chance.choice(["86400", "-3600"]),
        "CHAOS_CLOCK_SEEN": str(seen),
    }
    run.stage.start(part)
    part.is_wanted = True
    yield 6.0
    part.send(signal.SIGKILL)  # the next life has the right time again
    return int(seen.exists())


def poisoned_queue(run: Run, part: Part | None, chance: random.Random) -> Doing:
    """What is no message stands in the workers' queue; whoever takes it may die of it."""
    poison = chance.choice(["", "[]", "null", "not JSON", '{"body": {}}', '{"headers": {}, "body": "e30="}'])
    queue = f"{run.stage.settings.redis_prefix}:{contract.LANES_QUEUE}"
    run.stage.redis.rpush(queue, poison)
    for _try in range(50):
        if poison not in run.stage.redis.lrange(queue, 0, -1):
            return 1
        yield 0.1
    return 0


FAULTS = [
    Fault("F13 a worker is killed", "worker", killed, 2.0, weight=3),
    Fault("F14 a worker is told to end", "worker", ended, 4.0),
    Fault("F18 a worker is frozen for a moment", "worker", frozen_for_a_moment, 4.0),
    Fault("F17 a worker is frozen until its locks have run out", "worker", frozen_beyond_its_locks, 11.5),
    Fault("F12 a worker is stopped, rung and killed", "links", stopped_rung_killed, 6.0),
    Fault("F57 a worker may open no files", "worker", out_of_files, 2.0),
    Fault("F30 a worker's log is full", "worker", logs_are_full, 5.5),
    Fault("F58 nobody reads a worker's log", "worker", logs_are_stuck, 6.5),
    Fault("F49 poison stands in the queue", "valkey", poisoned_queue, 2.0),
    Fault("F2 a client is killed", "client", killed, 1.0, weight=3),
    Fault("F1 a client is frozen for a moment", "client", frozen_for_a_moment, 4.0),
    Fault("F41 beat is away", "beat", beat_is_away, 5.5),
    Fault("F42 five beats at once", "beat", five_beats, 7.0),
]
if shutil.which("cc"):
    FAULTS.append(Fault("F39 a worker's clock is wrong", "worker", clock_is_wrong, 6.5))
