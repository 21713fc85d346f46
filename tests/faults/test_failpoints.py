"""Kills, stops, delays or fails a process at each failpoint, during a batch with a command of every kind.
In the end every command is applied once, as without the fault.

The short form kills at every failpoint, and injects the other faults at commits. With
`POINTLEDGER_TEST_FAILPOINTS=all` it injects every fault everywhere; `alone` also applies each kind alone.
"""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import pointledger
from pointledger import AnyCommand, failpoints
from pointledger.embedded import ServerUrls
from pointledger.errors import AcceptanceBusy
from pointledger.ids import show_id
from pointledger.settings import Settings
from tests.databases import Clones, settings_of
from tests.faults.every_kind import prepare_scenarios
from tests.faults.injection import FORM, SECONDS, faults_at, finish, inject, resume, violations
from tests.ledger import Ledger, prepared
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

OF_OTHERS = (
    "open-runs-commit",
    "take-run-commit",
    "put-back-commit",
    "search-commit",
    "day-totals-commit",
    "events-publish",
    "relay-commit",
    "dead-letters-commit",
    "ack",
    "by-name-commit",
    "ack-commands",
    "callbacks-send",
    "callbacks-commit",
    "note-busy",
    "become-idle",
    "become-busy",
)  # tested in test_failpoints_jobs.py, test_failpoints_messages.py and test_failpoints_turns.py
OF_COMMANDS = [place for place in failpoints.PLACES if place not in OF_OTHERS]


def accept_and_drain(ledger: Ledger, commands: list[AnyCommand]) -> None:
    ledger.client.enqueue_many(commands)
    ledger.engine.drain(0)


def send_again(ledger: Ledger, commands: list[AnyCommand]) -> None:
    """Send the commands again, as a client without a reply does. A stopped process may lock their keys."""

    def accepted() -> bool:
        try:
            ledger.client.enqueue_many(commands)
        except AcceptanceBusy:
            return False
        return True

    wait_until(accepted, "the commands are accepted", SECONDS)


def books(ledger: Ledger) -> list[Any]:
    """Return every account, lot and wallet, and the numbers of rows."""
    accounts = ledger.rows(
        """SELECT user_id, status, balance, frozen_balance, pending_balance, debt, version, expiry_exempt
           FROM accounts ORDER BY user_id"""
    )
    lots = ledger.rows(
        """SELECT a.user_id, l.amount, l.remaining, l.frozen, l.expiry_changes
           FROM lots l JOIN accounts a ON a.id = l.account_id ORDER BY a.user_id, l.amount, l.remaining"""
    )
    wallets = ledger.rows("SELECT user_id, balance FROM wallets ORDER BY user_id")
    return [accounts, lots, wallets, *ledger.counts("accounts", "entries", "lots", "lot_moves", "outcomes")]


class Environment(NamedTuple):
    """What all tests share, prepared once."""

    clones: Clones  # of a ledger with the scenarios' earlier commands
    commands: list[AnyCommand]  # of every kind, not sent yet
    expected: list[Any]  # the books afterwards without a fault


@pytest.fixture(scope="module")
def environment(servers: ServerUrls, clones: Clones) -> Iterator[Environment]:
    with prepared(servers, clones, prepare_scenarios) as (scenarios, commands), scenarios.one() as url:
        aside = settings_of(servers, url, servers.redis_url, redis_prefix=f"expected-{secrets.token_hex(4)}")
        with Ledger(aside) as ledger:
            accept_and_drain(ledger, commands)
            expected = books(ledger)
        yield Environment(scenarios, commands, expected)


@pytest.fixture
def owner_url(environment: Environment) -> Iterator[str]:
    with environment.clones.one() as url:
        yield url


@pytest.mark.parametrize("word", faults_at(OF_COMMANDS))
def test_every_command_kind_applies_once_when_a_process_fails_at_a_failpoint(
    short_timeouts: Settings, tmp_path: Path, word: str, environment: Environment
) -> None:
    commands = environment.commands
    with Ledger(short_timeouts) as ledger:
        groups = [[command] for command in commands] if FORM == "alone" else [commands]
        for number, group in enumerate(groups):
            log = tmp_path / f"injected-{number}"
            ledger.redis.flushdb()  # as if the locks of the previous process had expired
            process = inject(short_timeouts, accept_and_drain, group, word, log)
            send_again(ledger, group)
            finish(ledger)
            resume(process)
            finish(ledger)
        outcomes = ledger.client.outcomes([show_id(command.id) for command in commands])
        assert [outcome.state for outcome in outcomes] == ["applied"] * len(commands)
        assert books(ledger) == environment.expected
        assert ledger.counts("failures") == [0]
        assert violations(ledger) == []


# ------------------------------------------------------------------------------ the failpoints themselves


def test_the_library_passes_every_place_before_and_after() -> None:
    source = "\n".join(path.read_text() for path in Path(pointledger.__file__).parent.rglob("*.py"))
    of_locks = set(re.findall(r'self\._run\(\s*"([a-z-]+)"', source))
    for when in ("before", "after"):
        assert of_locks | set(re.findall(rf'failpoints\.{when}\("([a-z-]+)"\)', source)) == set(
            failpoints.PLACES
        )


@pytest.mark.parametrize(
    "word", ["lock-lanes=kill", "after:lock-lanes", "after:nowhere=kill", "after:lock-lanes=hang", "x"]
)
def test_an_unknown_failpoint_is_rejected(word: str) -> None:
    with pytest.raises(ValueError, match=word):
        failpoints.arm(word)


def test_a_failpoint_injects_its_fault_at_the_given_passage_only(tmp_path: Path) -> None:
    failpoints.arm("after:lock-lanes=raise@3", str(tmp_path / "injected"))
    try:
        for passage in range(1, 7):
            failpoints.before("lock-lanes")
            with nullcontext() if passage != 3 else pytest.raises(failpoints.InjectedFault):
                failpoints.after("lock-lanes")
    finally:
        failpoints.arm("")
    assert (tmp_path / "injected").read_text() == f"{os.getpid()} after:lock-lanes=raise@3\n"


def test_no_failpoint_is_armed_by_default() -> None:
    assert not failpoints._armed
