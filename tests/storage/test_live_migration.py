"""`migrate` upgrades a ledger in use: no command waits for it, and it continues after a kill.

The load does to the tables of the older version what its clients and workers did, in plain SQL: an older
version's own programs do not run beside this one.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest

from pointledger import Earn
from pointledger.embedded import ServerUrls
from pointledger.errors import MigrationBlocked
from pointledger.storage import migrate as migrations
from pointledger.storage.migrate import migrate
from pointledger.storage.revision import newest
from tests.databases import as_worker, fresh_database, settings_of
from tests.faults.conftest import ROOT
from tests.ledger import Ledger
from tests.waiting import wait_until

OLDER = "0014"
LARGE = 100_000  # rows: a plain index or a scan under a lock takes a large part of a second
LOCK_TIMEOUT = "2s"  # of the load: what waits longer for a lock fails

ACCOUNTS = """
INSERT INTO accounts (tenant_id, user_id, id, points_type, status, balance, frozen_balance, pending_balance,
    debt, total_earned, total_spent, expired_points, total_refunded, total_transferred_in,
    total_transferred_out, total_adjusted_in, total_adjusted_out, total_clawed_back, version, as_of,
    created_at, updated_at)
SELECT 'old', 'user-' || n, gen_random_uuid(), 'tier_points', 'active', 0,0,0,0,0,0,0,0,0,0,0,0,0,0,
       now(), now(), now() FROM generate_series(1, %s) n"""
LOTS = """
INSERT INTO lots (tenant_id, id, account_id, entry_id, origin_id, amount, remaining, state, earned_at)
SELECT 'old', gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 9, 9, 'active',
       now() FROM generate_series(1, %s)"""
MOVES = """
INSERT INTO lot_moves (tenant_id, entry_id, lot_id, kind, amount)
SELECT 'old', gen_random_uuid(), gen_random_uuid(), 'spend', 1 FROM generate_series(1, %s)"""
OUTCOMES = """
INSERT INTO outcomes (id, tenant_id, state, applied_at, data)
SELECT gen_random_uuid(), 'old', 'applied', now(),
       CASE WHEN n %% 20 = 0 THEN '{"held_by":"a limit"}' ELSE '{"points":1}' END::json
FROM generate_series(1, %s) n"""


@contextmanager
def older_ledger(servers: ServerUrls, name: str, rows: int) -> Iterator[str]:
    """Yield the owner's URL of a database with the older version's tables."""
    with fresh_database(servers, name) as url:
        migrate(url, revision=OLDER)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("INSERT INTO lanes (lane) SELECT generate_series(0, 15)")
            for statement in (ACCOUNTS, LOTS, MOVES, OUTCOMES):
                connection.execute(statement, [rows])
        yield url


class Load:
    """Sends one command after the other, and applies it. A command that waits for a lock is an error."""

    def __init__(self, url: str, number: int) -> None:
        self.sent = 0
        self.errors: list[BaseException] = []
        self._url, self._user = url, f"user-{number + 1}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)
        assert self.errors == []

    def _run(self) -> None:
        try:
            options = f"-c lock_timeout={LOCK_TIMEOUT}"
            with psycopg.connect(self._url, autocommit=True, options=options) as connection:
                while not self._stop.is_set():
                    self._send(connection)
                    self.sent += 1
        except BaseException as error:
            self.errors.append(error)

    def _send(self, connection: psycopg.Connection) -> None:
        command, lot, ids = uuid4(), uuid4(), (uuid4(), uuid4(), uuid4())
        run = connection.execute
        with connection.transaction():
            run("INSERT INTO pending (lane, seq, id) VALUES (0, nextval('load'), %s)", [command])
        with connection.transaction():
            run("SELECT FROM accounts WHERE tenant_id = 'old' AND user_id = %s FOR UPDATE", [self._user])
            run("DELETE FROM pending WHERE id = %s", [command])
            run(
                """INSERT INTO lots (tenant_id, id, account_id, entry_id, origin_id, amount, remaining, state,
                                     earned_at) VALUES ('old', %s, %s, %s, %s, 1, 1, 'active', now())""",
                [lot, *ids],
            )
            run("INSERT INTO lot_moves VALUES ('old', %s, %s, 'spend', 1)", [ids[1], lot])
            update = """UPDATE accounts SET balance = balance + 1, total_earned = total_earned + 1
                        WHERE tenant_id = 'old' AND user_id = %s"""
            run(update, [self._user])
            row = (
                "INSERT INTO outcomes (id, tenant_id, state, applied_at) VALUES (%s, 'old', 'applied', now())"
            )
            run(row, [command])


@contextmanager
def load(url: str, threads: int = 3) -> Iterator[list[Load]]:
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("CREATE SEQUENCE load")
    loads = [Load(url, number) for number in range(threads)]
    try:
        yield loads
    finally:
        for one in loads:
            one.stop()


def all_went_on(loads: list[Load], before: list[int]) -> bool:
    return all(one.sent > sent for one, sent in zip(loads, before, strict=True))


def check_migrated(servers: ServerUrls, url: str, redis_url: str) -> None:
    """Check that this version works on the tables, and that no half-built index is left."""
    migrate(url, app_url=as_worker(servers, url))
    with Ledger(settings_of(servers, url, redis_url)) as ledger:
        ledger.tenant()
        (outcome,) = ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=5))
        assert outcome.state == "applied"
        assert ledger.rows("SELECT FROM pg_index WHERE NOT indisvalid") == []
        assert ledger.rows("SELECT FROM pg_constraint WHERE NOT convalidated") == []
        assert ledger.rows("""SELECT FROM outcomes WHERE data::text LIKE '%%held_by%%' LIMIT 1""") == []
        assert ledger.rows("SELECT FROM pg_class WHERE relname LIKE '%%\\_new'") == []


@pytest.mark.long
def test_no_command_waits_for_the_migration_of_a_large_ledger(servers: ServerUrls, redis_url: str) -> None:
    with older_ledger(servers, "live_migration", LARGE) as url, load(url) as loads:
        wait_until(lambda: all(one.sent for one in loads), "the load runs")
        applied = migrate(url)
        before = [one.sent for one in loads]
        wait_until(lambda: all_went_on(loads, before), "the load goes on")
        assert applied[0] == "0015"
        for one in loads:
            one.stop()
        check_migrated(servers, url, redis_url)


def test_commands_are_applied_while_a_migration_waits_for_a_long_transaction(servers: ServerUrls) -> None:
    said: list[str] = []
    with older_ledger(servers, "waiting_migration", 100) as url, psycopg.connect(url) as report:
        report.execute("SELECT count(*) FROM lots")  # a report that holds its lock
        with load(url) as loads, ThreadPoolExecutor(1) as pool:
            migrating = pool.submit(migrate, url, report=said.append)
            wait_until(lambda: sum("another session" in line for line in said) >= 3, "it has given way")
            before = [one.sent for one in loads]
            wait_until(lambda: all_went_on(loads, before), "commands are applied while it waits")
            report.rollback()
            assert migrating.result(60)[-1] == newest()


def test_a_migration_that_is_killed_anywhere_continues(servers: ServerUrls, redis_url: str) -> None:
    program = (
        "import sys; from pointledger.storage.migrate import migrate; print(flush=True); migrate(sys.argv[1])"
    )
    with older_ledger(servers, "killed_migration", 2_000) as url:
        kills = 0
        for milliseconds in (0, 60, 120, 240):  # on an idle machine all of it takes a third of a second
            child = subprocess.Popen([sys.executable, "-c", program, url], cwd=ROOT, stdout=subprocess.PIPE)
            assert child.stdout
            child.stdout.readline()  # its imports are done
            try:
                child.wait(milliseconds / 1000)
            except subprocess.TimeoutExpired:
                os.kill(child.pid, signal.SIGKILL)
                kills += 1
            child.communicate()
        assert kills
        check_migrated(servers, url, redis_url)


def test_an_index_whose_build_was_interrupted_is_built_again(servers: ServerUrls, redis_url: str) -> None:
    with older_ledger(servers, "half_an_index", 100) as url:
        migrate(url, revision="0017")
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute("ALTER TABLE pending ADD COLUMN recipient_hash integer")
            owner.execute(
                "INSERT INTO pending VALUES (0, 1, gen_random_uuid(), 1), (0, 2, gen_random_uuid(), 1)"
            )
            with pytest.raises(psycopg.errors.UniqueViolation):  # leaves an invalid index of that name
                owner.execute(
                    "CREATE UNIQUE INDEX CONCURRENTLY pending_transfers ON pending (recipient_hash)"
                )
            owner.execute("DELETE FROM pending")
        check_migrated(servers, url, redis_url)


def test_a_migration_gives_up_when_a_session_never_ends(
    servers: ServerUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "_MOST_ATTEMPTS", 1)
    with older_ledger(servers, "blocked_migration", 10) as url, psycopg.connect(url) as report:
        report.execute("SELECT count(*) FROM lots")
        with pytest.raises(MigrationBlocked):
            migrate(url)
