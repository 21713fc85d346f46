"""A client that is created before a fork works in every process, and no process affects another."""

from typing import Any

import pytest

from pointledger.settings import Settings
from tests.client.programs import program
from tests.ledger import Ledger
from tests.processes import connections
from tests.working import working

BROKERS = ["valkey", pytest.param("rabbitmq", marks=pytest.mark.long)]


@pytest.fixture(params=BROKERS)
def settings(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    if request.param == "valkey":
        return settings
    return settings.model_copy(update={"broker_url": request.getfixturevalue("rabbitmq_url")})


@pytest.fixture
def ledger(settings: Settings) -> Any:
    with Ledger(settings) as opened:
        opened.tenant()
        yield opened


def ran(ledger: Ledger, scenario: str) -> Any:
    with working(ledger), program("forking.py", scenario, settings=ledger.settings) as running:
        return running.says()


def test_children_grandchildren_and_threads_of_the_parent_work_at_once(ledger: Ledger) -> None:
    assert ran(ledger, "family") == {"children": True, "parent": True, "commands": 40}
    assert ledger.counts("journal", "outcomes") == [120, 120]


def test_a_child_encodes_commands_while_threads_of_the_parent_encode_their_first_ones(ledger: Ledger) -> None:
    assert ran(ledger, "first") == {"children": True}


def test_a_child_that_ends_or_closes_does_not_affect_the_parents_connections(ledger: Ledger) -> None:
    with working(ledger), program("forking.py", "quiet", settings=ledger.settings) as running:
        assert running.says() == "connected"
        before = connections(running.process.pid)
        running.go_on()
        assert running.says() == "over"
        after = connections(running.process.pid)
        running.go_on()
        assert running.says() == {"children": True, "parent": True}
    # A client whose lane a worker takes anyway needs no doorbell, and so no connection to the broker.
    assert len(before) >= 5, "two clients have connections to Postgres and Redis, and one to the broker"
    assert before <= after


def test_a_callers_transaction_that_is_open_at_the_fork_commits(
    ledger: Ledger,
) -> None:
    assert ran(ledger, "transaction") == {"children": True}
    users = [row[0] for row in ledger.rows("SELECT user_id FROM accounts ORDER BY 1")]
    assert users == ["child-alone", "child-within", "parent-within"]


def test_a_fork_without_pythons_hooks_is_noticed(ledger: Ledger) -> None:
    assert ran(ledger, "unnoticed") == {"children": True, "parent": True}


def test_a_child_does_not_wait_for_locks_of_the_parents_threads(ledger: Ledger) -> None:
    assert ran(ledger, "locked") == {"children": True, "parent": True}


def test_a_child_does_not_wait_for_a_group_of_the_parents_threads(ledger: Ledger) -> None:
    assert ran(ledger, "grouped") == {"children": True, "parent": True, "threads": [True] * 6}


def test_a_pool_of_processes_shares_the_client(ledger: Ledger) -> None:
    assert ran(ledger, "pool") == {"children": True, "parent": True}


def test_celerys_results_share_one_client_among_threads_and_work_in_children(ledger: Ledger) -> None:
    assert ran(ledger, "results") == {"children": True, "results": 7, "backends": 1}


def test_a_process_that_is_not_forked_needs_its_own_client(ledger: Ledger) -> None:
    errors = ran(ledger, "spawned")["errors"]
    assert sorted(errors) == ["forkserver", "spawn"]
    assert all(
        "Make one in each process with PointsClient.connect()" in message for message in errors.values()
    )
