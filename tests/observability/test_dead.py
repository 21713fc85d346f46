"""Dead commands are listed, filtered and retried; the audit log records each retry."""

from datetime import UTC, datetime, timedelta

import pytest

from pointledger import Earn, Spend
from pointledger.domain.values.actor import Actor
from pointledger.ids import parse_id
from pointledger.storage.queue import failures, journal
from pointledger.storage.queue.failures import DeadCommandFilter
from tests.cli.conftest import Run
from tests.ledger import Ledger


def die(ledger: Ledger, *commands: Earn | Spend, error: str = "Boom: the disk is full") -> list[str]:
    task_ids = ledger.client.enqueue_many(commands)
    for task_id in map(parse_id, task_ids):
        with ledger.database.begin() as connection:
            lane = journal.lane_of(connection, task_id)
            assert lane is not None
            failures.record_failure(connection, lane, task_id, error)
            failures.mark_dead(connection, lane, task_id, block=False)
    return task_ids


@pytest.fixture
def dead(ledger: Ledger) -> list[str]:
    """Three earns of `shop`, one with another error; a spend of `shop`; and an earn of `other`."""
    ledger.tenant("other")
    earns = [Earn(tenant_id="shop", user_id=user, amount=5) for user in ("anna", "ben")]
    found = die(ledger, *earns)
    found += die(ledger, Earn(tenant_id="shop", user_id="carl", amount=5), error="KeyError: 'x'")
    found += die(ledger, Spend(tenant_id="shop", user_id="anna", amount=5))
    return found + die(ledger, Earn(tenant_id="other", user_id="dora", amount=5))


def still_dead(ledger: Ledger) -> set[str]:
    with ledger.database.connect() as connection:
        return {str(command.id) for command in failures.dead(connection)}


def ids(*task_ids: str) -> set[str]:
    return {str(parse_id(task_id)) for task_id in task_ids}


def test_only_matching_dead_commands_are_retried(run: Run, ledger: Ledger, dead: list[str]) -> None:
    command = ("dead", "retry", "--tenant", "shop", "--kind", "earn", "--error", "the DISK")
    shown = run(*command, "--dry-run", "--json")
    assert (shown.status, shown.json) == (0, {"matching": 2, "retried": 0})
    assert len(still_dead(ledger)) == 5, "a dry run changes nothing"

    done = run(*command, "--yes", "--json", "--reason", "more disk")
    assert (done.status, done.json) == (0, {"matching": 2, "retried": 2})
    assert still_dead(ledger) == ids(*dead[2:])
    ledger.drain()
    assert [ledger.balance(user) for user in ("anna", "ben")] == [5, 5]
    records = ledger.client.audit_log("shop", kind="dead-retry")
    assert {(record["command_id"], record["reason"], record["state"]) for record in records} == {
        (task_id, "more disk", "applied") for task_id in dead[:2]
    }


def test_retry_lists_commands_and_requires_confirmation(run: Run, ledger: Ledger, dead: list[str]) -> None:
    refused = run("dead", "retry", "--tenant", "shop", stdin="n\n")
    assert refused.status == 1
    assert dead[0] in refused.stdout
    assert len(still_dead(ledger)) == 5
    assert run("dead", "retry", "--all", stdin="y\n").status == 0
    assert still_dead(ledger) == set()


def test_since_filters_by_the_time_of_death(run: Run, ledger: Ledger, dead: list[str]) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    assert run("dead", "retry", "--since", tomorrow, "--dry-run", "--json").json["matching"] == 0
    assert run("dead", "retry", "--since", yesterday, "--dry-run", "--json").json["matching"] == 5
    assert len(run("dead", "list", "--since", yesterday, "--kind", "spend", "--json").json_lines) == 1


def test_retry_requires_exactly_one_kind_of_selection(run: Run, dead: list[str]) -> None:
    for words in ((), (dead[0], "--tenant", "shop"), (dead[0], "--all"), ("--since", "yesterday")):
        assert run("dead", "retry", *words, "--json").status == 2


def test_retried_commands_keep_their_order_behind_pending_ones(ledger: Ledger) -> None:
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=100))
    spends = [Spend(tenant_id="shop", user_id="anna", amount=amount) for amount in range(1, 121)]
    die(ledger, *spends)  # more than one batch
    ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=7000 + 160))
    batches = list(ledger.client.retry_all(DeadCommandFilter(tenant="shop"), Actor()))
    assert [len(batch) for batch in batches] == [100, 20]
    ledger.drain()
    amounts = ledger.rows("SELECT amount FROM entries ORDER BY seq")
    assert [row[0] for row in amounts] == [100, 7160, *range(1, 121)]


def test_a_command_that_dies_again_is_retried_only_once(ledger: Ledger, dead: list[str]) -> None:
    for batch in ledger.client.retry_all(DeadCommandFilter(tenant="other"), Actor()):
        task_id = parse_id(batch[0])
        with ledger.database.begin() as connection:
            lane = journal.lane_of(connection, task_id)
            assert lane is not None
            failures.record_failure(connection, lane, task_id, "Boom")
            failures.mark_dead(connection, lane, task_id, block=False)
    assert len(still_dead(ledger)) == 5
