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
from tests.chaos.checker import Verdict, account_orders, check, cycle
from tests.chaos.entry_points import LIBRARY, QUEUE
from tests.chaos.journal import ACCEPTED, REFUSED, Journal, calls
from tests.chaos.load import RULES, TENANT_CONFIG, Load
from tests.chaos.model_check import differences_from_model
from tests.chaos.received_events import ReceivedEvent, out_of_order
from tests.deploy.promtool import firing
from tests.deploy.recorded import CHECKED, shown, situation_of
from tests.ledger import Ledger

ROOT = Path(__file__).parents[2]
SEED = 20170101
UNTOUCHED = {
    f"Pointledger{name}" for name in ("NoMetrics", "BacklogHalfFull", "TenantBacklogHalfFull", "TenantPaused")
}
"""The alerts that no fault of a run concerns."""


@pytest.fixture(scope="module")
def scrapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The metrics of the run."""
    return tmp_path_factory.mktemp("chaos") / "scrapes.jsonl"


@pytest.fixture(scope="module")
def run(scrapes: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The report of half a minute of faults. `./dev chaos --seconds 120` runs more of them.

    With `--long`, a blocked RabbitMQ is among them.
    """
    arguments = ["--seconds", "30", "--seed", str(SEED), "--json", "--scrapes", scrapes]
    arguments += ["--begin-with", "F69"] if request.config.getoption("--long") else []
    command = [sys.executable, "-m", "tests.chaos", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.fault
@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc and signals processes")
def test_under_every_fault_nothing_is_lost_doubled_or_out_of_order(
    run: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    assert (run["seed"], run["commands"] > 0) == (SEED, True)
    wrong = ("lost", "doubled", "out_of_order", "wrong", "charged", "invariants_broken")
    assert [run[name] for name in wrong] == [0] * len(wrong)
    assert run["invariants_checked"] > 0
    assert all(run["faults"].values()), "each planned fault has had an effect"
    if request.config.getoption("--long"):
        assert run["faults"]["F69 RabbitMQ blocks its publishers"] > 0


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc and signals processes")
def test_the_faults_of_a_run_fire_their_alerts_and_no_others(
    run: dict[str, Any], scrapes: Path, tmp_path: Path
) -> None:
    fired = set().union(*firing(tmp_path, situation_of(scrapes)))
    assert fired & CHECKED == shown(scrapes)
    assert "PointledgerOutcomeBudgetBurnsFast" in fired, "commands waited for what had failed"
    assert len(fired & CHECKED) > 1, "the run raises in batches, locks rows and ends servers"
    assert not fired & UNTOUCHED


def test_overlapping_acceptances_may_be_applied_in_either_order(ledger: Ledger) -> None:
    """The first acceptance has its place in the journal and is not committed yet."""
    ledger.tenant()
    with ledger.database.connect() as connection, connection.begin() as transaction:
        ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=1), connection)
        ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=2))
        assert ledger.balance("anna") == 2
        transaction.commit()
    ledger.drain()
    assert ledger.balance("anna") == 3
    with ledger.database.connect() as connection:
        assert cycle(account_orders(connection), {}, {}) == []


# -------------------------------------------------------------------------------------- the checker


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "client.journal"


def earn(user: str = "anna", amount: int = 5, **more: Any) -> AnyCommand:
    return Earn(tenant_id="shop", user_id=user, amount=amount, **more)


def write_call(path: Path, answer: str, *commands: AnyCommand) -> None:
    opened = Journal(path)
    opened.answered(opened.send(list(commands), LIBRARY), answer)
    opened.close()


def test_a_journal_has_what_was_sent_when_a_sigkill_cut_its_last_line(journal: Path) -> None:
    first, second = earn(), earn()
    write_call(journal, ACCEPTED, first)
    opened = Journal(journal)
    opened.send([second], LIBRARY)
    opened.close()
    whole = journal.read_bytes()
    for cut in range(1, 40):
        journal.write_bytes(whole + b'{"call":2,"at":1,"answer":"accepted","ids":[]}\n'[:-cut])
        again = Journal(journal)
        (ambiguous,) = again.ambiguous
        again.close()
        assert ambiguous.commands == [second]
    answer = [(call.number, call.commands, call.answer) for call in calls(journal)]
    assert answer == [(1, [first], ACCEPTED), (2, [second], None)]


def verdict(ledger: Ledger, journal: Path) -> Verdict:
    return check(ledger.database, [journal], ledger.settings.lanes)


def found(verdict: Verdict) -> tuple[int, int, int]:
    return verdict.lost, verdict.doubled, verdict.out_of_order


@pytest.fixture
def ledger(settings: Settings) -> Any:
    with Ledger(settings) as opened:
        opened.tenant()
        yield opened


def test_the_checker_finds_nothing_in_a_correct_run(ledger: Ledger, journal: Path) -> None:
    one, two, other = earn("saver-1"), earn("saver-1"), earn("saver-2", idempotency_key="k")
    for command in (one, two, other):
        ledger.apply(command)
        write_call(journal, ACCEPTED, command)
    again = earn("saver-2", idempotency_key="k")
    ledger.apply(again)
    write_call(journal, ACCEPTED, again)
    write_call(journal, REFUSED, earn())
    assert found(verdict(ledger, journal)) == (0, 0, 0)


def test_the_checker_finds_a_lost_command(ledger: Ledger, journal: Path) -> None:
    kept = earn()
    ledger.apply(kept)
    write_call(journal, ACCEPTED, kept, Spend(tenant_id="shop", user_id="anna", amount=1))
    assert found(verdict(ledger, journal)) == (1, 0, 0)


def test_the_checker_finds_a_command_that_differs_from_what_was_sent(ledger: Ledger, journal: Path) -> None:
    sent = earn(amount=5)
    ledger.apply(earn(amount=6, id=sent.id))
    write_call(journal, ACCEPTED, sent)
    assert found(verdict(ledger, journal)) == (1, 0, 0)


def test_the_checker_finds_a_command_without_an_outcome(ledger: Ledger, journal: Path) -> None:
    waiting = earn()
    ledger.client.enqueue(waiting)
    write_call(journal, ACCEPTED, waiting)
    assert found(verdict(ledger, journal)) == (1, 0, 0)


def test_the_checker_finds_a_refused_command_in_the_journal(ledger: Ledger, journal: Path) -> None:
    refused = earn()
    ledger.apply(refused)
    write_call(journal, REFUSED, refused)
    assert found(verdict(ledger, journal)) == (0, 1, 0)


def test_the_checker_finds_a_saver_with_too_many_points(ledger: Ledger, journal: Path) -> None:
    one = earn("saver-1")
    ledger.apply(one, earn("saver-1"))
    write_call(journal, ACCEPTED, one)
    assert found(verdict(ledger, journal)) == (0, 1, 0)


def test_the_checker_finds_commands_that_were_applied_in_the_wrong_order(
    ledger: Ledger, journal: Path
) -> None:
    first, second = earn(), earn()
    ledger.apply(second)
    ledger.apply(first)
    for command in (first, second):
        write_call(journal, ACCEPTED, command)
    assert found(verdict(ledger, journal)) == (0, 0, 2), "by their places, and as a cycle"


def test_commands_sent_at_the_same_time_may_be_in_any_order(ledger: Ledger, journal: Path) -> None:
    first, second = earn(), earn()
    ledger.apply(second)
    ledger.apply(first)
    opened = Journal(journal)
    both = [opened.send([command], LIBRARY) for command in (first, second)]
    for call in both:
        opened.answered(call, ACCEPTED)
    opened.close()
    assert found(verdict(ledger, journal)) == (0, 0, 0)


def test_a_queued_command_may_be_accepted_after_later_ones(ledger: Ledger, journal: Path) -> None:
    first, second = earn(), earn()
    ledger.apply(second)
    ledger.apply(first)
    opened = Journal(journal)
    opened.answered(opened.send([first], QUEUE), ACCEPTED)
    opened.close()
    write_call(journal, ACCEPTED, second)
    assert found(verdict(ledger, journal)) == (0, 0, 0)


def test_an_entry_point_may_give_a_command_another_id(ledger: Ledger, journal: Path) -> None:
    sent = earn("saver-1")
    given = sent.model_copy(update={"id": earn().id})
    ledger.apply(given)
    opened = Journal(journal)
    opened.answered(opened.send([sent], LIBRARY), ACCEPTED, [given.id])
    opened.close()
    assert found(verdict(ledger, journal)) == (0, 0, 0)


def test_the_load_has_the_outcomes_of_the_model(ledger: Ledger) -> None:
    ledger.set_program(TENANT_CONFIG, RULES)
    load = Load(1, random.Random(SEED))
    for _ in range(12):
        outcomes = ledger.apply(*load.call())
        ledger.apply(*[command for each in outcomes if (command := load.undo(each))])
    assert differences_from_model(ledger.database) == []

    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE entries DISABLE TRIGGER USER")
        connection.exec_driver_sql("UPDATE entries SET amount = amount + 1 WHERE subtype = 'manual'")
    assert differences_from_model(ledger.database)


def test_an_event_may_be_received_twice_but_not_first_after_a_later_one() -> None:
    one, two, others = (
        ReceivedEvent("1", "anna", 1),
        ReceivedEvent("2", "anna", 2),
        ReceivedEvent("3", "ben", 1),
    )
    assert list(out_of_order(iter([one, two, others, one, two]))) == []
    assert list(out_of_order(iter([two, one, others]))) == [one]


def test_violations_that_a_client_saw_count(ledger: Ledger, journal: Path) -> None:
    opened = Journal(journal)
    opened.note_violation(unknown=str(uuid4()))
    opened.note_violation(backwards="anna")
    opened.close()
    assert found(verdict(ledger, journal)) == (1, 0, 1)


def test_a_journal_is_on_the_disk_before_the_client_goes_on(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", lambda _: synced.append(journal.stat().st_size))
    opened = Journal(journal)
    call = opened.send([earn()], LIBRARY)
    opened.answered(call, ACCEPTED)
    opened.close()
    assert len(synced) == 2
    assert synced[-1] == journal.stat().st_size
    assert call.sent_at <= call.answered_at <= time.monotonic_ns()
