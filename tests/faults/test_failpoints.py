"""A process is killed, stopped, delayed or made to fail at each failpoint, over a batch with a command of
every kind. In the end everything is done once, as if nothing had happened.

This is the short form: killed everywhere, the rest at the commits. `POINTLEDGER_TEST_FAILPOINTS=all` does the
rest everywhere, too; `alone`, besides, lets each kind go by itself.
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
from tests.faults.every_kind import set_the_scenes
from tests.faults.striking import FORM, SECONDS, finish, let_it_go_on, strike, words, wrong
from tests.ledger import Ledger, prepared
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

OF_OTHERS = (
    "open-runs-commit",
    "take-run-commit",
    "put-back-commit",
    "search-commit",
    "events-publish",
    "relay-commit",
    "letters-commit",
    "forget",
    "by-name-commit",
    "forget-commands",
    "callbacks-send",
    "callbacks-commit",
)  # than commands: in test_failpoints_elsewhere.py
OF_COMMANDS = [place for place in failpoints.PLACES if place not in OF_OTHERS]


def accept_and_drain(ledger: Ledger, commands: list[AnyCommand]) -> None:
    ledger.client.enqueue_many(commands)
    ledger.engine.drain(0)


def send_again(ledger: Ledger, commands: list[AnyCommand]) -> None:
    """What their sender does, who was told nothing. A twin that stands still keeps the keys for a moment."""

    def accepted() -> bool:
        try:
            ledger.client.enqueue_many(commands)
        except AcceptanceBusy:
            return False
        return True

    wait_until(accepted, "they are accepted", SECONDS)


def books(ledger: Ledger) -> list[Any]:
    """What every account and wallet has, and how many entries came of each command."""
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


class Stage(NamedTuple):
    """What all strikes have in common, made once."""

    clones: Clones  # of a ledger in which the scenes are set
    commands: list[AnyCommand]  # of every kind, not sent yet
    expected: list[Any]  # the books afterwards when nothing goes wrong


@pytest.fixture(scope="module")
def stage(servers: ServerUrls, clones: Clones) -> Iterator[Stage]:
    with prepared(servers, clones, set_the_scenes) as (scenes, commands), scenes.one() as url:
        aside = settings_of(servers, url, servers.redis_url, redis_prefix=f"expected-{secrets.token_hex(4)}")
        with Ledger(aside) as ledger:
            accept_and_drain(ledger, commands)
            expected = books(ledger)
        yield Stage(scenes, commands, expected)


@pytest.fixture
def owner_url(stage: Stage) -> Iterator[str]:
    with stage.clones.one() as url:
        yield url


@pytest.mark.parametrize("word", words(OF_COMMANDS))
def test_whoever_is_struck_at_a_failpoint_every_kind_of_command_takes_effect_once(
    hurried: Settings, tmp_path: Path, word: str, stage: Stage
) -> None:
    commands = stage.commands
    with Ledger(hurried) as ledger:
        groups = [[command] for command in commands] if FORM == "alone" else [commands]
        for number, group in enumerate(groups):
            log = tmp_path / f"struck-{number}"
            ledger.redis.flushdb()  # as when the locks of whoever died before have run out
            process = strike(hurried, accept_and_drain, group, word, log)
            send_again(ledger, group)
            finish(ledger)
            let_it_go_on(process)
            finish(ledger)
        outcomes = ledger.client.outcomes([show_id(command.id) for command in commands])
        assert [outcome.state for outcome in outcomes] == ["applied"] * len(commands)
        assert books(ledger) == stage.expected
        assert ledger.counts("failures") == [0]
        assert wrong(ledger) == []


# ------------------------------------------------------------------------------------ the points themselves


def test_every_place_is_passed_before_and_after_and_struck_by_these_tests() -> None:
    source = "\n".join(path.read_text() for path in Path(pointledger.__file__).parent.rglob("*.py"))
    of_locks = set(re.findall(r'_ask\("([a-z-]+)"', source))
    for when in ("before", "after"):
        assert of_locks | set(re.findall(rf'failpoints\.{when}\("([a-z-]+)"\)', source)) == set(
            failpoints.PLACES
        )


@pytest.mark.parametrize("word", ["fence=kill", "after:fence", "after:nowhere=kill", "after:fence=hang", "x"])
def test_what_is_no_failpoint_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match=word):
        failpoints.arm(word)


def test_a_failpoint_strikes_at_the_passage_that_was_asked_for_and_never_again(tmp_path: Path) -> None:
    failpoints.arm("after:fence=raise@3", str(tmp_path / "struck"))
    try:
        for passage in range(1, 7):
            failpoints.before("fence")
            with nullcontext() if passage != 3 else pytest.raises(failpoints.Struck):
                failpoints.after("fence")
    finally:
        failpoints.arm("")
    assert (tmp_path / "struck").read_text() == f"{os.getpid()} after:fence=raise@3\n"


def test_no_failpoint_is_armed_unless_somebody_asks() -> None:
    assert not failpoints._armed
