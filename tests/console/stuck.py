"""Puts commands into states that a healthy worker would not leave them in, and reads what became of them."""

from collections.abc import Callable, Sequence
from typing import Any

from pointledger import Earn
from pointledger.domain.commands import AnyCommand
from pointledger.domain.commands.records import lane_of
from pointledger.ids import parse_id
from pointledger.storage.queue import dead_letters, failures, journal
from tests.console.browsing import Browsing, Html
from tests.console.environment import ConsoleEnvironment
from tests.ledger import Ledger
from tests.waiting import wait_until

ATTEMPTS = 3  # that a dead or failing command has behind it
HOUR = 3_600.0


def die(ledger: Ledger, tenant_id: str, user_id: str, errors: Sequence[str]) -> list[str]:
    """Accept an earn for each error, and give it up with that error in the same transaction."""
    commands = [Earn(tenant_id=tenant_id, user_id=user_id, amount=5) for _ in errors]
    with ledger.database.begin() as connection:
        task_ids = ledger.client.enqueue_many(commands, connection)
        for task_id, error in zip(task_ids, errors, strict=True):
            lane = journal.lane_of(connection, parse_id(task_id))
            assert lane is not None
            for _ in range(ATTEMPTS):
                failures.record_failure(connection, lane, parse_id(task_id), error)
            failures.mark_dead(connection, lane, parse_id(task_id), block=False)
    return task_ids


def fail(ledger: Ledger, command: AnyCommand, error: str) -> str:
    """Accept a command that has failed, and is tried again in an hour."""
    with ledger.database.begin() as connection:
        (task_id,) = ledger.client.enqueue_many([command], connection)
        lane = journal.lane_of(connection, parse_id(task_id))
        assert lane is not None
        failures.record_failure(connection, lane, parse_id(task_id), error)
        failures.back_off(connection, parse_id(task_id), HOUR)
    return task_id


def keep_letter(
    ledger: Ledger, tenant_id: str, task_id: str, *, deferred: bool = False, entry_point: str = "celery"
) -> int:
    """Keep a message with this task id that is no command, or is not accepted yet, and return its number."""
    with ledger.database.begin() as connection:
        dead_letters.keep(
            connection, entry_point=entry_point, raw=task_id.encode(), reason="INVALID_COMMAND",
            error="amount: a whole number from 1", task_id=parse_id(task_id), tenant_id=tenant_id,
            kind="earn", defer_seconds=HOUR if deferred else None,
        )  # fmt: skip
    return int(ledger.rows("SELECT max(id) FROM dead_letters")[0][0])


def states(console: ConsoleEnvironment, task_ids: list[str]) -> list[str]:
    return [outcome.state for outcome in console.ledger.client.outcomes(task_ids)]


def acts(console: ConsoleEnvironment, tenant_id: str, kind: str) -> list[Any]:
    """Return the acts of the person `crew`: who, why, and whether it was done."""
    return [
        (act["actor"], act["reason"], act["state"])
        for act in console.ledger.client.audit_log(tenant_id, kind=kind, actor="person:crew")
    ]


def queue_with(browsing: Browsing, tenant_id: str, words: str) -> Html:
    """Return the Queue page that has these words. Those who look within two seconds share one reading."""
    found: list[Html] = []

    def shows() -> bool:
        found.append(browsing.html(f"/console/{tenant_id}/queue"))
        return words in found[-1].words

    wait_until(shows, f"the page shows {words}")
    return found[-1]


def alone_in_lane(console: ConsoleEnvironment, tenant_id: str, user: Callable[[], str]) -> str:
    """Return a new user of a lane in which no command of another test waits."""
    taken = {row.lane for row in console.ledger.rows("SELECT DISTINCT lane FROM pending")}
    lanes = console.ledger.settings.lanes
    return next(each for each in iter(user, None) if lane_of(tenant_id, each, lanes) not in taken)
