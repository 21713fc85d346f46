"""The chaos run: its result, its schedule, its checker and its matrix of faults."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pointledger import AnyCommand, Earn, Spend
from pointledger.settings import Settings
from tests.chaos.checker import Verdict, account_orders, check, circle
from tests.chaos.doors import LIBRARY, QUEUE
from tests.chaos.hearing import Heard, out_of_order
from tests.chaos.journal import ACCEPTED, REFUSED, Journal, calls
from tests.chaos.load import RULES, TENANT, TENANT_CONFIG, Load
from tests.chaos.matrix import INJECTED, NEEDS_A_TOOL, NOT_HERE, TESTED
from tests.chaos.nemesis import plan
from tests.chaos.retold import retold
from tests.chaos.run import FAULTS
from tests.chaos.struck import NAMES
from tests.ledger import Ledger

ROOT = Path(__file__).parents[2]
PARTS = {
    "worker": ["worker-1", "worker-2"],
    "beat": ["beat"],
    "relay": ["relay-1", "relay-2"],
    "ingest": ["ingest"],
    "api": ["api"],
    "client": ["client-1"],
}
SEED = 20170101


@pytest.mark.fault
@pytest.mark.skipif(sys.platform != "linux", reason="it asks /proc and signals what it finds")
def test_under_every_fault_nothing_is_lost_doubled_or_out_of_order(pytestconfig: pytest.Config) -> None:
    """Half a minute of faults, or two minutes with --long."""
    seconds = "120" if pytestconfig.getoption("--long") else "30"
    command = [sys.executable, "-m", "tests.chaos", "--seconds", seconds, "--seed", str(SEED), "--json"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["seed"], report["commands"] > 0) == (SEED, True)
    wrong = ("lost", "doubled", "out_of_order", "wrong", "invariants_broken")
    assert [report[name] for name in wrong] == [0] * len(wrong)
    assert report["invariants_checked"] > 0
    assert all(report["faults"].values()), "each fault that was meant to strike has struck"


def test_of_acceptances_that_overlap_either_may_be_applied_first(ledger: Ledger) -> None:
    """The first has its place in the journal, and is not committed yet."""
    ledger.tenant()
    with ledger.database.connect() as connection, connection.begin() as transaction:
        ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=1), connection)
        ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=2))
        assert ledger.balance("anna") == 2
        transaction.commit()
    ledger.drain()
    assert ledger.balance("anna") == 3
    with ledger.database.connect() as connection:
        assert circle(account_orders(connection), {}, {}) == []


# -------------------------------------------------------------------------------------- the schedule


def test_a_seed_makes_one_schedule_and_another_seed_another() -> None:
    first, again, other = (plan(FAULTS, PARTS, 600, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_ten_minutes_have_every_fault_and_more_than_two_hundred_in_all() -> None:
    planned = plan(FAULTS, PARTS, 600, SEED)
    assert {each.fault.name for each in planned} == {fault.name for fault in FAULTS}
    assert len(planned) >= 200


def test_two_faults_never_have_one_thing_at_once() -> None:
    free_at: dict[str, float] = {}
    for each in plan(FAULTS, PARTS, 600, SEED):
        needed = each.part or each.fault.on
        assert free_at.get(needed, 0) <= each.at
        free_at[needed] = round(each.at + each.fault.seconds, 2)


# ---------------------------------------------------------------------------------------- the matrix


def test_every_fault_of_the_matrix_is_injected_or_tested_or_has_a_reason() -> None:
    injected = {int(name.partition(" ")[0][1:]) for name in [*NAMES, *(fault.name for fault in FAULTS)]}
    assert injected <= set(INJECTED)
    assert set(INJECTED) - injected <= set(NEEDS_A_TOOL)
    assert sorted([*INJECTED, *TESTED, *NOT_HERE]) == list(range(1, 60)), "each number once"


def test_what_is_tested_elsewhere_is_there() -> None:
    for tests in TESTED.values():
        for told in tests.split(", "):
            path, _, name = told.partition("::")
            assert name in (ROOT / path).read_text()


# --------------------------------------------------------------------------------------- the witness


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "client.journal"


def earn(user: str = "anna", amount: int = 5, **more: Any) -> AnyCommand:
    return Earn(tenant_id="shop", user_id=user, amount=amount, **more)


def noted(path: Path, told: str, *commands: AnyCommand) -> None:
    opened = Journal(path)
    opened.tell(opened.send(list(commands), LIBRARY), told)
    opened.close()


def test_a_journal_tells_what_was_sent_after_a_death_in_the_middle_of_a_line(journal: Path) -> None:
    first, second = earn(), earn()
    noted(journal, ACCEPTED, first)
    opened = Journal(journal)
    opened.send([second], LIBRARY)
    opened.close()
    whole = journal.read_bytes()
    for cut in range(1, 40):
        journal.write_bytes(whole + b'{"call":2,"at":1,"told":"accepted","ids":[]}\n'[:-cut])
        again = Journal(journal)
        (ambiguous,) = again.ambiguous
        again.close()
        assert ambiguous.commands == [second]
    told = [(call.number, call.commands, call.told) for call in calls(journal)]
    assert told == [(1, [first], ACCEPTED), (2, [second], None)]


def verdict(ledger: Ledger, journal: Path) -> Verdict:
    return check(ledger.database, [journal], ledger.settings.lanes)


def found(verdict: Verdict) -> tuple[int, int, int]:
    return verdict.lost, verdict.doubled, verdict.out_of_order


@pytest.fixture
def ledger(settings: Settings) -> Any:
    with Ledger(settings) as opened:
        opened.tenant()
        yield opened


def test_where_all_is_well_the_checker_finds_nothing(ledger: Ledger, journal: Path) -> None:
    one, two, other = earn("saver-1"), earn("saver-1"), earn("saver-2", idempotency_key="k")
    for command in (one, two, other):
        ledger.apply(command)
        noted(journal, ACCEPTED, command)
    again = earn("saver-2", idempotency_key="k")
    ledger.apply(again)
    noted(journal, ACCEPTED, again)
    noted(journal, REFUSED, earn())
    assert found(verdict(ledger, journal)) == (0, 0, 0)


def test_the_checker_finds_what_is_lost(ledger: Ledger, journal: Path) -> None:
    kept = earn()
    ledger.apply(kept)
    noted(journal, ACCEPTED, kept, Spend(tenant_id="shop", user_id="anna", amount=1))
    assert found(verdict(ledger, journal)) == (1, 0, 0)


def test_the_checker_finds_what_stands_otherwise_than_it_was_sent(ledger: Ledger, journal: Path) -> None:
    sent = earn(amount=5)
    ledger.apply(earn(amount=6, id=sent.id))
    noted(journal, ACCEPTED, sent)
    assert found(verdict(ledger, journal)) == (1, 0, 0)


def test_the_checker_finds_what_has_no_outcome(ledger: Ledger, journal: Path) -> None:
    waiting = earn()
    ledger.client.enqueue(waiting)
    noted(journal, ACCEPTED, waiting)
    assert found(verdict(ledger, journal)) == (1, 0, 0)


def test_the_checker_finds_what_was_refused_and_is_there(ledger: Ledger, journal: Path) -> None:
    refused = earn()
    ledger.apply(refused)
    noted(journal, REFUSED, refused)
    assert found(verdict(ledger, journal)) == (0, 1, 0)


def test_the_checker_finds_a_saver_who_has_too_much(ledger: Ledger, journal: Path) -> None:
    one = earn("saver-1")
    ledger.apply(one, earn("saver-1"))
    noted(journal, ACCEPTED, one)
    assert found(verdict(ledger, journal)) == (0, 1, 0)


def test_the_checker_finds_what_was_applied_before_what_was_accepted_earlier(
    ledger: Ledger, journal: Path
) -> None:
    first, second = earn(), earn()
    ledger.apply(second)
    ledger.apply(first)
    for command in (first, second):
        noted(journal, ACCEPTED, command)
    assert found(verdict(ledger, journal)) == (0, 0, 2), "by the places, and as a circle"


def test_what_was_sent_at_the_same_time_may_stand_in_any_order(ledger: Ledger, journal: Path) -> None:
    first, second = earn(), earn()
    ledger.apply(second)
    ledger.apply(first)
    opened = Journal(journal)
    both = [opened.send([command], LIBRARY) for command in (first, second)]
    for call in both:
        opened.tell(call, ACCEPTED)
    opened.close()
    assert found(verdict(ledger, journal)) == (0, 0, 0)


def test_what_lies_in_a_queue_may_be_accepted_after_what_was_sent_later(
    ledger: Ledger, journal: Path
) -> None:
    first, second = earn(), earn()
    ledger.apply(second)
    ledger.apply(first)
    opened = Journal(journal)
    opened.tell(opened.send([first], QUEUE), ACCEPTED)
    opened.close()
    noted(journal, ACCEPTED, second)
    assert found(verdict(ledger, journal)) == (0, 0, 0)


def test_a_door_may_give_a_command_another_id(ledger: Ledger, journal: Path) -> None:
    sent = earn("saver-1")
    given = sent.model_copy(update={"id": earn().id})
    ledger.apply(given)
    opened = Journal(journal)
    opened.tell(opened.send([sent], LIBRARY), ACCEPTED, [given.id])
    opened.close()
    assert found(verdict(ledger, journal)) == (0, 0, 0)


def test_what_clients_send_is_answered_as_the_model_says(ledger: Ledger) -> None:
    ledger.tenant(**TENANT_CONFIG)
    for rule in RULES:
        ledger.rule(TENANT, **rule)
    load = Load(1, random.Random(SEED))
    for _ in range(12):
        outcomes = ledger.apply(*load.call())
        ledger.apply(*[command for each in outcomes if (command := load.undo(each))])
    assert retold(ledger.database) == []

    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE entries DISABLE TRIGGER USER")
        connection.exec_driver_sql("UPDATE entries SET amount = amount + 1 WHERE subtype = 'manual'")
    assert retold(ledger.database)


def test_an_event_may_be_heard_twice_but_not_for_the_first_time_after_a_later_one() -> None:
    one, two, others = Heard("1", "anna", 1), Heard("2", "anna", 2), Heard("3", "ben", 1)
    assert list(out_of_order(iter([one, two, others, one, two]))) == []
    assert list(out_of_order(iter([two, one, others]))) == [one]


def test_what_a_client_complains_of_counts(ledger: Ledger, journal: Path) -> None:
    opened = Journal(journal)
    opened.complain(unknown=str(uuid4()))
    opened.complain(backwards="anna")
    opened.close()
    assert found(verdict(ledger, journal)) == (1, 0, 1)


def test_a_journal_is_on_the_disk_before_the_client_goes_on(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", lambda _: synced.append(journal.stat().st_size))
    opened = Journal(journal)
    call = opened.send([earn()], LIBRARY)
    opened.tell(call, ACCEPTED)
    opened.close()
    assert len(synced) == 2
    assert synced[-1] == journal.stat().st_size
    assert call.sent_at <= call.told_at <= time.monotonic_ns()
