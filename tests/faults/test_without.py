"""Runs the ledger without Redis' locks, without Redis, and with a small connection pool."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from pointledger import Earn
from pointledger_demo.processes import ProcessGroup
from pointledger_demo.program import TENANT
from tests.chaos.proxy import Link
from tests.faults.conftest import ROOT
from tests.ledger import Ledger
from tests.links import through
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

SECONDS = 60.0


def test_every_engine_test_also_runs_with_every_lock_granted() -> None:
    """The engine's tests run with real and with always granted locks; this one checks that none is left
    out."""
    collect = ["pytest", "-q", "-p", "no:cacheprovider", "--collect-only", "tests/engine", "-m", "not locks"]
    done = subprocess.run(
        [sys.executable, "-m", *collect], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:]
    tests = re.findall(r"^(tests/engine/\S+\.py::\w+)\[(.*)\]$", done.stdout, re.MULTILINE)
    assert len(tests) == done.stdout.count("tests/engine/") > 200, "each test is one of the two"
    with_locks, granted = (
        sorted((test, ids.replace(either, "")) for test, ids in tests if either in ids.split("-"))
        for either in ("redis", "granted")
    )
    assert with_locks == granted


def test_with_valkey_stopped_commands_are_accepted_and_applied_when_it_returns(
    ledger: Ledger, to_valkey: Link, tmp_path: Path
) -> None:
    settings = ledger.settings.model_copy(update={"redis_url": through(ledger.settings.redis, to_valkey)})
    system = ProcessGroup(ROOT, data=tmp_path, settings=settings)
    try:
        system.start()
        with Ledger(settings) as linked:
            before = linked.client.enqueue(Earn(tenant_id=TENANT, user_id="anna", amount=1))
            wait_until(lambda: linked.client.outcome(before).state == "applied", "the system works")

            to_valkey.refuse(True)
            task_ids = [
                linked.client.enqueue(Earn(tenant_id=TENANT, user_id=f"user-{number}", amount=number + 1))
                for number in range(20)
            ]
            states = {outcome.state for outcome in linked.client.outcomes(task_ids)}
            assert states <= {"pending", "applied"}, "each command is accepted"
            assert to_valkey.injected["refuse"] > 0

            to_valkey.refuse(False)
            wait_until(
                lambda: {each.state for each in linked.client.outcomes(task_ids)} == {"applied"},
                "they are applied",
                SECONDS,
            )
    finally:
        system.stop()
    assert ledger.counts("journal", "outcomes", "pending", "failures") == [21, 21, 0, 0]


def test_an_exhausted_pool_makes_callers_wait_and_leaks_no_connection(ledger: Ledger) -> None:
    commands = [Earn(tenant_id=TENANT, user_id=f"user-{number % 7}", amount=1) for number in range(200)]
    with ThreadPoolExecutor(60) as callers:
        task_ids = list(callers.map(ledger.client.enqueue, commands))
    assert len(set(task_ids)) == 200
    assert ledger.counts("journal", "pending") == [200, 200]
    pool = ledger.client._database.pool
    assert isinstance(pool, sa.QueuePool)
    assert pool.checkedout() == 0
