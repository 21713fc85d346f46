"""Faults of Postgres: killed, stopped, frozen, and with a disk that fails, is slow or full."""

import os
import random
import shutil
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from pointledger.domain.program.rule import rule_from
from pointledger.storage.database import rows
from pointledger.storage.errors import DATABASE_ERRORS
from pointledger.storage.ledger import program
from tests.chaos.load import TENANT, changed_rule
from tests.chaos.nemesis import Doing, Fault, Run
from tests.chaos.part import Part
from tests.chaos.stage import Stage
from tests.processes import family, send_all, state_of

_WAIT_SECONDS = 20.0
_SNAPSHOT_SECONDS = 8.0
_LOOK_SECONDS = 0.05
_FAST_SHUTDOWN_LOOKS = 600  # half a minute, after which `pg_ctl stop` is usually given up, too


def postgres_is_killed(run: Run, _: Part | None, chance: random.Random) -> Doing:
    """All of it, at once; it starts again on what is on the disk."""
    pids = family(run.stage.postgres.pid)
    send_all(pids, signal.SIGKILL)
    run.stage.postgres.wait(_WAIT_SECONDS)
    while any(state_of(pid) not in ("", "Z") for pid in pids):
        yield 0.05
    run.stage.start_postgres()
    log = (run.stage.home / "postgres.log").read_text(errors="replace")
    yield 0.5
    return int("was interrupted" in log or "not properly shut down" in log)


def postgres_is_stopped(run: Run, _part: Part | None, chance: random.Random) -> Doing:
    """Fast or at once, as an administrator does; also at once when fast takes too long: it writes all that is
    dirty first."""
    run.stage.postgres.send_signal(chance.choice([signal.SIGINT, signal.SIGQUIT]))
    for _ in range(_FAST_SHUTDOWN_LOOKS):
        if run.stage.postgres.poll() is not None:
            break
        yield _LOOK_SECONDS
    else:
        run.stage.postgres.send_signal(signal.SIGQUIT)
    while run.stage.postgres.poll() is None:
        yield _LOOK_SECONDS
    run.stage.start_postgres()
    return 1


def a_backend_is_killed(run: Run, _: Part | None, chance: random.Random) -> Doing:
    """Postgres ends all connections, for shared memory may be spoilt, and recovers."""
    before = _asked(run.stage, "SELECT pg_postmaster_start_time()::text")
    found = _asked(run.stage, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'")
    if not found or not before:
        return 0
    send_all([chance.choice(found)[0]], signal.SIGKILL)
    yield 1.0
    log = (run.stage.home / "postgres.log").read_text(errors="replace")
    return int("was terminated by signal 9" in log)


def backends_are_ended(run: Run, _: Part | None, __: random.Random) -> Doing:
    """Again and again, in the middle of transactions."""
    injected = 0
    for _try in range(5):
        found = _asked(
            run.stage,
            """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
                 AND xact_start IS NOT NULL""",
        )
        injected += found[0][0] if found else 0
        yield 0.3
    return injected


def postgres_is_frozen(run: Run, _: Part | None, chance: random.Random) -> Doing:
    """Every process of it stands still, like a disk that does not answer."""
    pids = family(run.stage.postgres.pid)
    send_all(pids, signal.SIGSTOP)
    yield chance.uniform(1.0, 6.0)
    injected = state_of(run.stage.postgres.pid) == "T"
    send_all(pids, signal.SIGCONT)
    return int(injected)


def _traced(run: Run, inject: str, seconds: float) -> Doing:
    """What the kernel answers Postgres is replaced for a while; how often."""
    log = run.stage.home / "strace"
    pids = ",".join(map(str, family(run.stage.postgres.pid)))
    command = [
        "strace",
        "-f",
        "-o",
        str(log),
        "-e",
        f"trace={inject.partition(':')[0]}",
        "-e",
        f"inject={inject}",
    ]
    tracer = subprocess.Popen([*command, "-p", pids], stderr=subprocess.DEVNULL)
    yield seconds
    tracer.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        tracer.wait(5.0)
    if tracer.poll() is None:
        tracer.kill()
        tracer.wait()
    told = log.read_text(errors="replace") if log.exists() else ""
    injected = told.count("(INJECTED)") + told.count("(DELAYED)")
    log.unlink(missing_ok=True)
    if run.stage.postgres.poll() is not None:
        run.stage.start_postgres()  # it ended over it
    return injected


def fsync_fails(run: Run, _: Part | None, __: random.Random) -> Doing:
    """EIO: Postgres must not believe that anything is on the disk, and recovers from its log."""
    return (yield from _traced(run, "fdatasync:error=EIO:when=3", 2.0))


def fsync_is_slow(run: Run, _: Part | None, __: random.Random) -> Doing:
    return (yield from _traced(run, "fdatasync:delay_enter=200ms", 4.0))


def disk_is_full(run: Run, _: Part | None, __: random.Random) -> Doing:
    """ENOSPC for whatever Postgres writes into its files, log included."""
    return (yield from _traced(run, "pwrite64,pwritev,fallocate:error=ENOSPC:when=2+40", 2.0))


def long_transaction(run: Run, _: Part | None, __: random.Random) -> Doing:
    """Somebody's snapshot grows old, and nothing can be vacuumed."""
    held = threading.Event()
    somebody = threading.Thread(target=_hold_a_snapshot, args=(run.stage, held))
    somebody.start()  # Postgres may stand still meanwhile: nobody here waits for it
    while somebody.is_alive():
        yield 0.5
    return int(held.is_set())


def _hold_a_snapshot(stage: Stage, held: threading.Event) -> None:
    with suppress(*DATABASE_ERRORS), stage.database.connect() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ")
        rows(connection, "SELECT count(*) FROM accounts")
        held.set()
        threading.Event().wait(_SNAPSHOT_SECONDS)


def rule_is_changed(run: Run, _: Part | None, chance: random.Random) -> Doing:
    """A new version comes into force while events of its type are being applied."""
    try:
        with run.stage.database.begin() as connection:
            program.put_rule(connection, TENANT, rule_from(changed_rule(chance.randint(1, 9))))
    except DATABASE_ERRORS:
        return 0
    yield 0.1
    return 1


def _asked(stage: Stage, sql: str) -> list[tuple[int, ...]]:
    try:
        with stage.database.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(sql))]
    except DATABASE_ERRORS:
        return []


def _may_trace() -> bool:
    """Whether strace is here and may look at a process that is not its own child."""
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    free = os.geteuid() == 0 or not scope.exists() or scope.read_text().strip() == "0"
    return bool(shutil.which("strace")) and free


FAULTS = [
    Fault("F26 Postgres is killed", "postgres", postgres_is_killed, 3.0, weight=2),
    Fault("F26 Postgres is stopped", "postgres", postgres_is_stopped, 2.5),
    Fault("F26 a backend of Postgres is killed", "postgres", a_backend_is_killed, 2.0),
    Fault("F27 backends are ended in their transactions", "postgres", backends_are_ended, 2.0, weight=2),
    Fault("F31 Postgres stands still", "postgres", postgres_is_frozen, 6.5),
    Fault("F33 somebody's snapshot grows old", "snapshot", long_transaction, 8.5),
    Fault("F55 a rule is changed", "postgres", rule_is_changed, 0.5),
]
if _may_trace():
    FAULTS += [
        Fault("F28 fsync fails", "postgres", fsync_fails, 4.0),
        Fault("F29 the disk is full", "postgres", disk_is_full, 4.0),
        Fault("F31 fsync is slow", "postgres", fsync_is_slow, 5.0),
    ]
