"""Faults of Postgres: killed, stopped, stalled, and with a disk that fails, is slow or full."""

import os
import random
import shutil
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

from pointledger.domain.program.rule import rule_from
from pointledger.storage.database import rows
from pointledger.storage.errors import DATABASE_ERRORS
from pointledger.storage.ledger import program
from tests.chaos.environment import Environment
from tests.chaos.load import TENANT, changed_rule
from tests.chaos.nemesis import Fault, Nemesis, Steps
from tests.chaos.node import Node
from tests.processes import family, send_all, state_of

_WAIT_SECONDS = 60.0
_SNAPSHOT_SECONDS = 8.0
_POLL_SECONDS = 0.05
_FAST_SHUTDOWN_POLLS = 600  # half a minute; `pg_ctl stop` gives up after a minute


def postgres_is_killed(nemesis: Nemesis, _: Node | None, chance: random.Random) -> Steps:
    """Kill all its processes at once. It starts again from its disk."""
    pids = family(nemesis.environment.servers.postgres.pid)
    send_all(pids, signal.SIGKILL)
    nemesis.environment.servers.postgres.wait(_WAIT_SECONDS)
    while any(state_of(pid) not in ("", "Z") for pid in pids):
        yield 0.05
    nemesis.environment.servers.start_postgres()
    yield 0.5
    logged = nemesis.environment.servers.logged_by_postgres
    return int(bool(logged("was interrupted") or logged("not properly shut down")))


def postgres_is_stopped(nemesis: Nemesis, _node: Node | None, chance: random.Random) -> Steps:
    """Stop it fast or immediately, as an administrator does.

    A fast shutdown first writes a checkpoint. If that takes too long, it is stopped immediately.
    """
    nemesis.environment.servers.postgres.send_signal(chance.choice([signal.SIGINT, signal.SIGQUIT]))
    for _ in range(_FAST_SHUTDOWN_POLLS):
        if nemesis.environment.servers.postgres.poll() is not None:
            break
        yield _POLL_SECONDS
    else:
        nemesis.environment.servers.postgres.send_signal(signal.SIGQUIT)
    while nemesis.environment.servers.postgres.poll() is None:
        yield _POLL_SECONDS
    nemesis.environment.servers.start_postgres()
    return 1


def a_backend_is_killed(nemesis: Nemesis, _: Node | None, chance: random.Random) -> Steps:
    """Kill one session. Postgres ends all others, because shared memory may be corrupt, and recovers."""
    before = nemesis.environment.query("SELECT pg_postmaster_start_time()::text")
    found = nemesis.environment.query(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
    )
    if not found or not before:
        return 0
    send_all([chance.choice(found)[0]], signal.SIGKILL)
    yield 1.0
    return int(bool(nemesis.environment.servers.logged_by_postgres("was terminated by signal 9")))


def backends_are_terminated(nemesis: Nemesis, _: Node | None, __: random.Random) -> Steps:
    """Terminate all sessions with an open transaction, several times."""
    injected = 0
    for _try in range(5):
        found = nemesis.environment.query(
            """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
                 AND xact_start IS NOT NULL""",
        )
        injected += found[0][0] if found else 0
        yield 0.3
    return injected


def postgres_is_stalled(nemesis: Nemesis, _: Node | None, chance: random.Random) -> Steps:
    """Stop all its processes, like a disk that does not respond."""
    pids = family(nemesis.environment.servers.postgres.pid)
    send_all(pids, signal.SIGSTOP)
    yield chance.uniform(1.0, 6.0)
    injected = state_of(nemesis.environment.servers.postgres.pid) == "T"
    send_all(pids, signal.SIGCONT)
    return int(injected)


def _traced(nemesis: Nemesis, inject: str, seconds: float) -> Steps:
    """Replace results of system calls of Postgres for a while, and return how many."""
    log = nemesis.environment.home / "strace"
    pids = ",".join(map(str, family(nemesis.environment.servers.postgres.pid)))
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
    answer = log.read_text(errors="replace") if log.exists() else ""
    injected = answer.count("(INJECTED)") + answer.count("(DELAYED)")
    log.unlink(missing_ok=True)
    if nemesis.environment.servers.postgres.poll() is not None:
        nemesis.environment.servers.start_postgres()  # it ended because of the error
    return injected


def fsync_fails(nemesis: Nemesis, _: Node | None, __: random.Random) -> Steps:
    """EIO: Postgres must not assume that its data are on the disk, and recovers from its log."""
    return (yield from _traced(nemesis, "fdatasync:error=EIO:when=3", 2.0))


def fsync_is_slow(nemesis: Nemesis, _: Node | None, __: random.Random) -> Steps:
    return (yield from _traced(nemesis, "fdatasync:delay_enter=200ms", 4.0))


def disk_is_full(nemesis: Nemesis, _: Node | None, __: random.Random) -> Steps:
    """ENOSPC for what Postgres writes into its files, also its write-ahead log."""
    return (yield from _traced(nemesis, "pwrite64,pwritev,fallocate:error=ENOSPC:when=2+40", 2.0))


def long_transaction(nemesis: Nemesis, _: Node | None, __: random.Random) -> Steps:
    """Another session keeps its snapshot, so VACUUM removes no row."""
    held = threading.Event()
    session = threading.Thread(target=_hold_a_snapshot, args=(nemesis.environment, held))
    session.start()  # Postgres may be stalled meanwhile, and the schedule must go on
    while session.is_alive():
        yield 0.5
    return int(held.is_set())


def _hold_a_snapshot(environment: Environment, held: threading.Event) -> None:
    with suppress(*DATABASE_ERRORS), environment.database.connect() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ")
        rows(connection, "SELECT count(*) FROM accounts")
        held.set()
        threading.Event().wait(_SNAPSHOT_SECONDS)


def rule_is_changed(nemesis: Nemesis, _: Node | None, chance: random.Random) -> Steps:
    """Put a new version of a rule into force while events of its type are applied."""
    try:
        with nemesis.environment.database.begin() as connection:
            program.put_rule(connection, TENANT, rule_from(changed_rule(chance.randint(1, 9))))
    except DATABASE_ERRORS:
        return 0
    yield 0.1
    return 1


def _may_trace() -> bool:
    """Whether strace is installed and may attach to processes that are not its children."""
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    free = os.geteuid() == 0 or not scope.exists() or scope.read_text().strip() == "0"
    return bool(shutil.which("strace")) and free


FAULTS = [
    Fault("F26 Postgres is killed", "postgres", postgres_is_killed, 3.0, weight=2),
    Fault("F26 Postgres is stopped", "postgres", postgres_is_stopped, 2.5),
    Fault("F26 a backend of Postgres is killed", "postgres", a_backend_is_killed, 2.0),
    Fault("F27 backends are terminated in transactions", "postgres", backends_are_terminated, 2.0, weight=2),
    Fault("F31 Postgres is stalled", "postgres", postgres_is_stalled, 6.5),
    Fault("F33 a snapshot stays open", "snapshot", long_transaction, 8.5),
    Fault("F55 a rule is changed", "postgres", rule_is_changed, 0.5),
]
if _may_trace():
    FAULTS += [
        Fault("F28 fsync fails", "postgres", fsync_fails, 4.0),
        Fault("F29 writes meet a full disk", "postgres", disk_is_full, 4.0),
        Fault("F31 fsync is slow", "postgres", fsync_is_slow, 5.0),
    ]
