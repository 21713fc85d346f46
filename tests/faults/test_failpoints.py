"""A process is killed, stopped, delayed or made to fail at each failpoint, over a batch with a command of
every kind. In the end everything is done once, as if nothing had happened.

This is the short form: killed everywhere, the rest at the commits. `POINTLEDGER_TEST_FAILPOINTS=all` does the
rest everywhere, too; `alone`, besides, lets each kind go by itself.
"""

import multiprocessing
import os
import re
import secrets
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import pointledger
from pointledger import AnyCommand, ApplyRule, Earn, EraseUser, Freeze, failpoints
from pointledger.acceptance import Acceptance
from pointledger.audit import audit
from pointledger.embedded import ServerUrls
from pointledger.errors import AcceptanceBusy
from pointledger.ids import show_id
from pointledger.settings import Settings
from pointledger.storage.database import DATABASE_ERRORS, is_transient, run
from pointledger.sweep import EXPIRE_POINTS, RESET_DAILY_LIMITS, Sweep
from tests.conftest import fresh_database
from tests.faults.every_kind import DUE, SHOP, THEN, set_the_scenes
from tests.ledger import Ledger
from tests.processes import state_of
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

SECONDS = 30.0
FORM = os.environ.get("POINTLEDGER_TEST_FAILPOINTS", "short")
ACTIONS = ("kill", "stop", "raise", "raise:40P01", "sleep:0.01")

OF_SWEEPS = ("open-runs-commit", "take-run-commit", "put-back-commit", "search-commit")
OF_COMMANDS = [place for place in failpoints.PLACES if place not in OF_SWEEPS]

# Places that are passed only when something has gone wrong before.
FIRST = {"charge-commit": "before:decide=raise", "abandon": "after:take-users=raise"}

# Whoever is frozen loses what he holds soon, so that the test need not wait.
HURRY = {
    "lock_timeout_ms": 800,
    "statement_timeout_ms": 5_000,
    "idle_timeout_ms": 800,
    "lock_ttl_ms": 1_000,
    "backoff_seconds": (0.0,) * 5,
}

Deed = Callable[[Ledger, Any], object]

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.faults.test_failpoints"])


@pytest.fixture
def hurried(settings: Settings) -> Settings:
    return settings.model_copy(update=HURRY)


def names(place: str) -> list[str]:
    return [f"before:{place}", f"after:{place}"]


def words(places: Iterable[str]) -> list[str]:
    """Which are tried: `after:fence=kill`."""
    return [
        f"{name}={action}"
        for place in places
        for name in names(place)
        for action in ACTIONS
        if action == "kill" or place.endswith("-commit") or FORM != "short"
    ]


def accept_and_drain(ledger: Ledger, commands: list[AnyCommand]) -> None:
    ledger.client.enqueue_many(commands)
    ledger.engine.drain(0)


def do_armed(settings: Settings, deed: Deed, given: Any, armed: str, log: Path) -> None:
    """What the process does that is to be struck."""
    failpoints.arm(armed, str(log))
    with Ledger(settings) as ledger:
        deed(ledger, given)


def strike(settings: Settings, deed: Deed, given: Any, word: str, log: Path) -> Any:
    """Starts a process that is armed; returns when it has ended, or stands still."""
    place = word.partition(":")[2].partition("=")[0]
    armed = f"{FIRST.get(place, '')} {word}"
    process = _processes.Process(target=do_armed, args=(settings, deed, given, armed, log))
    process.start()
    wait_until(
        lambda: process.exitcode is not None or state_of(process.pid or 0) == "T", "it has ended, or stands"
    )
    assert word in log.read_text().split(), "it was struck where it was meant to be"
    assert (process.exitcode == -signal.SIGKILL) == ("=kill" in word)
    return process


def let_it_go_on(process: Any) -> None:
    """A zombie: what it was about to do has been done by others meanwhile."""
    if process.exitcode is None:
        os.kill(process.pid, signal.SIGCONT)
        process.join(SECONDS)
        assert process.exitcode is not None, "it ends"


def send_again(ledger: Ledger, commands: list[AnyCommand]) -> None:
    """What their sender does, who was told nothing. A twin that stands still keeps the keys for a moment."""

    def accepted() -> bool:
        try:
            ledger.client.enqueue_many(commands)
        except AcceptanceBusy:
            return False
        return True

    wait_until(accepted, "they are accepted", SECONDS)


def finish(ledger: Ledger) -> None:
    """What any other worker does in the end."""

    def nothing_waits() -> bool:
        try:
            ledger.drain()
        except DATABASE_ERRORS as error:
            assert is_transient(error)
        return ledger.counts("pending") == [0]

    wait_until(nothing_waits, "nothing waits", SECONDS)


def wrong(ledger: Ledger) -> list[Any]:
    """What the audit finds."""
    return [each for each in audit(ledger.database).as_json()["invariants"] if each["rows"]]


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


@pytest.mark.parametrize("word", words(OF_COMMANDS))
def test_whoever_is_struck_at_a_failpoint_every_kind_of_command_takes_effect_once(
    hurried: Settings, tmp_path: Path, word: str, expected: list[Any]
) -> None:
    with Ledger(hurried) as ledger:
        commands = set_the_scenes(ledger)
        groups = [[command] for command in commands] if FORM == "alone" else [commands]
        for number, group in enumerate(groups):
            log = tmp_path / f"struck-{number}"
            process = strike(hurried, accept_and_drain, group, word, log)
            send_again(ledger, group)
            finish(ledger)
            let_it_go_on(process)
            finish(ledger)
        outcomes = ledger.client.outcomes([show_id(command.id) for command in commands])
        assert [outcome.state for outcome in outcomes] == ["applied"] * len(commands)
        assert books(ledger) == expected
        assert ledger.counts("failures") == [0]
        assert wrong(ledger) == []


@pytest.fixture(scope="session")
def expected(servers: ServerUrls, template: str) -> Iterator[list[Any]]:
    """What the books are when nothing goes wrong."""
    with fresh_database(servers, f"expected_{secrets.token_hex(4)}", template) as url:
        settings = Settings(
            database_url=url,
            redis_url=servers.redis_url,
            erasure_key=SecretStr("k" * 32),
            redis_prefix="{expected}",
        )
        with Ledger(settings) as ledger:
            accept_and_drain(ledger, set_the_scenes(ledger))
            yield books(ledger)


# ------------------------------------------------------------------------------------------- sweeps


def sweep_of(ledger: Ledger) -> Sweep:
    acceptance = Acceptance(ledger.database, ledger.doorbells, ledger.settings)
    return Sweep(ledger.database, acceptance, idle_timeout_ms=ledger.settings.idle_timeout_ms)


def expire(ledger: Ledger, _: None) -> None:
    sweep = sweep_of(ledger)
    sweep.open_runs(EXPIRE_POINTS)
    while sweep.expire_points():
        pass


def reset_limits(ledger: Ledger, _: None) -> None:
    sweep = sweep_of(ledger)
    sweep.open_runs(RESET_DAILY_LIMITS)
    while sweep.reset_daily_limits():
        pass


def release(ledger: Ledger, _: None) -> None:
    sweep_of(ledger).release_holds()


def activate(ledger: Ledger, _: None) -> None:
    sweep_of(ledger).activate_points()


def erase(ledger: Ledger, _: None) -> None:
    sweep_of(ledger).finish_erasures()


SWEEPS = (expire, reset_limits, release, activate, erase)


def sweep_all(ledger: Ledger) -> None:
    """What any other worker does whom beat asks."""
    for sweep in SWEEPS:

        def done(sweep: Callable[[Ledger, None], None] = sweep) -> bool:
            try:
                sweep(ledger, None)
            except AcceptanceBusy:
                return False
            return True

        wait_until(done, "the sweep is done", SECONDS)
    finish(ledger)


PASSED_BY = {
    "open-runs-commit": (expire, reset_limits),
    "take-run-commit": (expire,),
    "put-back-commit": (expire, reset_limits),
    "search-commit": (erase,),
    "accept-commit": (expire, release, activate),
    "publish": (expire, release, activate),
}


def something_is_due(ledger: Ledger) -> None:
    """One user's points expire, another's become available, a hold times out, and somebody was erased."""
    ledger.tenant()
    ledger.rule(name="visit", event_type="visit", points=7, daily_limit=70)
    for user in ("expiring", "holding", "waiting", "leaving"):
        who: dict[str, Any] = {"tenant_id": SHOP, "user_id": user, "occurred_at": THEN}
        ledger.apply(ApplyRule(**who, event_type="visit"))
        ends: dict[str, Any] = {"expiring": {"expires_at": DUE}, "waiting": {"activates_at": DUE}}.get(
            user, {}
        )
        ledger.apply(Earn(**who, **ends, amount=90))
    ledger.apply(
        Freeze(tenant_id=SHOP, user_id="holding", amount=20, occurred_at=THEN, expires_at=DUE),
        EraseUser(tenant_id=SHOP, user_id="leaving"),
    )
    with ledger.database.begin() as connection:  # as if the nightly jobs had last run yesterday
        for job in (EXPIRE_POINTS, RESET_DAILY_LIMITS):
            run(
                connection,
                """INSERT INTO job_runs (job, tenant_id, local_date, as_of, leased_until, finished_at)
                   SELECT %(job)s, 'shop', day - 1, (day - 1)::timestamp AT TIME ZONE 'UTC', now(),
                          now() + interval '1 second'
                   FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS day)""",
                job=job,
            )


@pytest.mark.parametrize(
    ("word", "sweep"),
    [(word, sweep) for place, sweeps in PASSED_BY.items() for word in words([place]) for sweep in sweeps],
)
def test_whoever_is_struck_at_a_failpoint_of_a_sweep_what_is_due_is_done_once(
    hurried: Settings, tmp_path: Path, word: str, sweep: Callable[[Ledger, None], None]
) -> None:
    with Ledger(hurried) as ledger:
        something_is_due(ledger)
        process = strike(hurried, sweep, None, word, tmp_path / "struck")
        with ledger.database.begin() as connection:  # its lease, of minutes, has run out
            connection.exec_driver_sql("UPDATE job_runs SET leased_until = now()")
        sweep_all(ledger)
        let_it_go_on(process)
        sweep_all(ledger)

        sums = ledger.rows(
            "SELECT balance, frozen_balance, pending_balance, expired_points FROM accounts ORDER BY user_id"
        )
        assert sorted(sums) == [(0, 0, 0, 0), (7, 0, 0, 90), (97, 0, 0, 0), (97, 0, 0, 0)]
        runs = ledger.rows("SELECT count(*), count(finished_at) FROM job_runs")
        assert runs == [(4, 4)], "two jobs, yesterday and today"
        assert ledger.rows("SELECT count(*) FROM erasures WHERE finished_at IS NULL") == [(0,)]
        assert wrong(ledger) == []


# ------------------------------------------------------------------------------------ the points themselves


def test_every_place_is_passed_before_and_after_and_struck_by_these_tests() -> None:
    source = "\n".join(path.read_text() for path in Path(pointledger.__file__).parent.glob("*.py"))
    of_locks = set(re.findall(r'_ask\("([a-z-]+)"', source))
    for when in ("before", "after"):
        assert of_locks | set(re.findall(rf'failpoints\.{when}\("([a-z-]+)"\)', source)) == set(
            failpoints.PLACES
        )
    assert set(OF_SWEEPS) <= set(PASSED_BY)


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
