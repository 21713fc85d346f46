"""A Postgres that runs and answers with errors, because of its disk, its configuration or other sessions.

None of these errors is a command's own, so none may count as a failed attempt.
"""

import random
import signal
import threading
import time
from collections.abc import Generator
from contextlib import suppress

import psycopg

from tests.chaos.environment import Environment
from tests.chaos.nemesis import Fault, Nemesis, Steps
from tests.chaos.node import Node
from tests.chaos.small_disk import may_mount
from tests.processes import send_all

_STATEMENT_TIMEOUT_SECONDS = 5.6  # a little more than the timeouts of workers
_CANCELS, _CANCEL_PAUSE_SECONDS = 8, 0.1  # all within a second: a command that was canceled waits for longer
_LOCKED_SECONDS = 4.0  # twice the workers' lock timeout
_LOCK_SECONDS = 5.0  # until this session has the locks
_POLL_SECONDS = 0.2


def read_only(nemesis: Nemesis, _: Node | None, chance: random.Random) -> Steps:
    """Make every transaction read-only, as after a failover to a standby."""
    environment = nemesis.environment
    before = environment.servers.logged_by_postgres("read-only transaction")
    yield from _configure(environment, "SET default_transaction_read_only = on")
    yield chance.uniform(1.0, 5.0)
    yield from _configure(environment, "RESET default_transaction_read_only")
    return environment.servers.logged_by_postgres("read-only transaction") - before


def _configure(environment: Environment, change: str) -> Generator[float, None, None]:
    while not environment.as_owner(f"ALTER SYSTEM {change}", "SELECT pg_reload_conf()"):
        yield _POLL_SECONDS


def statements_time_out(nemesis: Nemesis, _: Node | None, __: random.Random) -> Steps:
    """Stop all sessions for longer than a statement or an open transaction may take."""
    servers = nemesis.environment.servers
    found = nemesis.environment.query(
        """SELECT pid FROM pg_stat_activity
           WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"""
    )
    before = _timeouts(nemesis.environment)
    pids = [pid for (pid,) in found]
    send_all(pids, signal.SIGSTOP)
    yield _STATEMENT_TIMEOUT_SECONDS
    send_all(pids, signal.SIGCONT)
    yield 0.5  # until Postgres has logged them
    assert servers.postgres.poll() is None, "stopped sessions end no server"
    return _timeouts(nemesis.environment) - before


def _timeouts(environment: Environment) -> int:
    kinds = ("due to statement timeout", "due to idle-in-transaction timeout")
    return sum(environment.servers.logged_by_postgres(kind) for kind in kinds)


def statements_are_canceled(nemesis: Nemesis, _: Node | None, __: random.Random) -> Steps:
    """Cancel all statements that run, again and again, as an operator does."""
    injected = 0
    for _try in range(_CANCELS):
        found = nemesis.environment.query(
            """SELECT count(*) FILTER (WHERE pg_cancel_backend(pid)) FROM pg_stat_activity
               WHERE backend_type = 'client backend' AND state = 'active' AND pid <> pg_backend_pid()"""
        )
        injected += found[0][0] if found else 0
        yield _CANCEL_PAUSE_SECONDS
    return injected


def accounts_are_locked(nemesis: Nemesis, _: Node | None, chance: random.Random) -> Steps:
    """Another session locks the accounts of some users, as a person with psql does."""
    users = ["user-0", *(f"user-{chance.randrange(1, 200)}" for _ in range(4))]
    statement = "SELECT FROM accounts WHERE user_id = ANY(%s) ORDER BY id FOR UPDATE"
    return (yield from _locked(nemesis.environment, statement, [users]))


def lane_is_locked(nemesis: Nemesis, _: Node | None, chance: random.Random) -> Steps:
    """Another session locks the row of a lane."""
    lane = chance.randrange(nemesis.environment.settings.lanes)
    return (yield from _locked(nemesis.environment, "SELECT FROM lanes WHERE lane = %s FOR UPDATE", [lane]))


def _locked(environment: Environment, statement: str, values: list[object]) -> Steps:
    """Hold row locks for a while, and return how many sessions have waited for them."""
    blocked: set[int] = set()
    session = threading.Thread(target=_hold_locks, args=(environment, statement, values, blocked))
    session.start()  # workers may hold the rows first, and the schedule must go on
    while session.is_alive():
        yield _POLL_SECONDS
    return len(blocked)


def _hold_locks(environment: Environment, statement: str, values: list[object], blocked: set[int]) -> None:
    with (
        suppress(psycopg.Error),
        psycopg.connect(environment.servers.owner_url, connect_timeout=2) as connection,
    ):
        connection.execute(f"SET lock_timeout = '{_LOCK_SECONDS:.0f}s'")
        connection.execute(statement, values)
        give_up_at = time.monotonic() + _LOCKED_SECONDS
        while time.monotonic() < give_up_at:
            waiting = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
            )
            blocked.update(pid for (pid,) in waiting)
            time.sleep(_POLL_SECONDS)


def disk_is_really_full(nemesis: Nemesis, _: Node | None, chance: random.Random) -> Steps:
    """The file system with the journal and the entries has no room."""
    servers = nemesis.environment.servers
    assert servers.small_disk
    before = servers.logged_by_postgres("No space left on device")
    if not servers.small_disk.fill():
        return 0
    yield chance.uniform(1.0, 4.0)
    servers.small_disk.heal()
    return servers.logged_by_postgres("No space left on device") - before


FAULTS = [
    Fault("F60 Postgres is read-only", "postgres", read_only, 5.0),
    Fault("F61 statements time out", "postgres", statements_time_out, 6.5),
    Fault("F61 statements are canceled", "postgres", statements_are_canceled, 1.5),
    Fault("F62 another session locks accounts", "postgres", accounts_are_locked, 4.5),
    Fault("F62 another session locks a lane", "postgres", lane_is_locked, 4.5),
]
if may_mount():
    FAULTS.append(Fault("F29 the disk of tables is full", "postgres", disk_is_really_full, 4.0))
