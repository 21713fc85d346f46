"""What befalls one thread that enqueues with others, or the database, befalls no other thread's command."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from pointledger import PointsClient
from pointledger.client import gatherer
from pointledger.client.gatherer import Gatherer
from pointledger.client.group_acceptor import Alone, GroupResult
from pointledger.client.latch import Latch
from pointledger.client.receipts import AcceptResult
from pointledger.domain.commands.records import JournalRecord, encode
from pointledger.errors import (
    ClientClosed,
    DatabaseAway,
)
from pointledger.ids import show_id
from pointledger.settings import Settings
from tests.chaos.proxy import Link, Proxy
from tests.client.accepting import THREAD_SECONDS, earn, in_journal
from tests.client.gathering import held, results
from tests.ledger import Ledger


@pytest.fixture
def postgres(settings: Settings) -> Iterator[Link]:
    """The client's link to Postgres."""
    proxy = Proxy()
    yield Link(proxy, "postgres", make_url(settings.database).port or 0)
    proxy.stop()


@pytest.fixture
def client(ledger: Ledger) -> Iterator[PointsClient]:
    with PointsClient.connect(ledger.settings) as opened:
        yield opened


@pytest.fixture
def linked(ledger: Ledger, postgres: Link) -> Iterator[PointsClient]:
    """A client whose link to Postgres can fail."""
    url = make_url(ledger.settings.database).set(host="127.0.0.1", port=postgres.port)
    settings = {"database_url": url.render_as_string(hide_password=False)}
    with PointsClient.connect(ledger.settings.model_copy(update=settings)) as opened:
        yield opened


# ------------------------------------------------------------------------------ leaders that fail or are slow


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_what_befalls_a_leader_befalls_no_other(
    client: PointsClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    commands = [earn(number + 1) for number in range(6)]

    def strike() -> None:
        raise error

    with held(client, monkeypatch) as group:
        group.strike = strike
        futures = group.lay_down(*commands)
        group.go_on()
        [leader, *others] = results(futures)
    assert others == [show_id(command.id) for command in commands[1:]]
    if issubclass(error, Exception):  # it has tried again alone, without the fault
        assert leader == show_id(commands[0].id)
    else:
        assert isinstance(leader, error)
    client.enqueue(earn())
    assert not client._own.acceptance._gatherer._leaders, "every seat is free again"


def test_a_caller_that_is_interrupted_while_it_waits_takes_its_command_back(
    client: PointsClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = Latch.wait
    interrupted, other = earn(66), earn(1)
    strikes = [KeyboardInterrupt]

    def interrupt(latch: Latch, seconds: float) -> None:
        if strikes:
            raise strikes.pop()
        wait(latch, seconds)

    with held(client, monkeypatch) as group:
        monkeypatch.setattr(Latch, "wait", interrupt)
        future = group.submit(interrupted)
        assert isinstance(future.exception(THREAD_SECONDS), KeyboardInterrupt)
        [goes] = group.lay_down(other)
    assert results([goes]) == [show_id(other.id)]
    assert show_id(interrupted.id) not in in_journal(ledger)


def test_no_caller_waits_long_for_leaders_that_are_stuck(
    client: PointsClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(client, monkeypatch) as group:
        monkeypatch.setattr(gatherer, "_QUEUE_SECONDS", 0.01)
        futures = [group.submit(earn(number + 1)) for number in range(3)]
        assert all(isinstance(one, str) for one in results(futures)), "they go alone"
        assert not any(leader.done() for leader in group.leaders)


def test_a_seat_whose_leader_never_returned_is_given_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gatherer, "_QUEUE_SECONDS", 0.01)
    monkeypatch.setattr(gatherer, "_LOST_SECONDS", 0.0)

    def accept_group(records: Any) -> list[GroupResult]:
        return [AcceptResult(record.id, True) for record in records]

    gathering = Gatherer(accept_group, lambda _: None)
    record = encode(earn(), 16)
    for _ in range(gatherer._LEADERS):
        gathering._appoint(gatherer._Member(record, Latch()))
    assert gathering.accept(record) == Alone()
    assert gathering.accept(record) == AcceptResult(record.id, True)


def test_a_groups_unexpected_error_reaches_only_its_cause() -> None:
    bad, good = encode(earn(66), 16), encode(earn(1), 16)
    together = threading.Barrier(2)

    def accept_group(records: list[JournalRecord]) -> list[GroupResult]:
        raise RuntimeError("of the whole group")

    gathering = Gatherer(accept_group, lambda _: None)  # type: ignore[arg-type]

    def run(record: JournalRecord) -> GroupResult:
        together.wait(THREAD_SECONDS)
        return gathering.accept(record)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, [bad, good])) == [Alone(maybe_done=True)] * 2


# -------------------------------------------------------------------------------- the database, close, forks


def test_each_caller_learns_about_its_own_command_when_the_database_is_away(
    linked: PointsClient, postgres: Link, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = [earn(number + 1) for number in range(5)]
    with held(linked, monkeypatch) as group:
        futures = group.lay_down(*commands)
        postgres.refuse(True)
        group.go_on()
        errors = results(futures)
    for error in errors:
        assert isinstance(error, DatabaseAway)
        assert "nothing was accepted" in str(error)
        assert not error.maybe_done
        assert error.__cause__ is not None
    assert len({id(error) for error in errors}) == len(errors), "threads share no exception"
    assert ledger.counts("journal") == [0]


def test_after_a_lost_reply_each_caller_is_told_that_its_own_command_may_be_accepted(
    linked: PointsClient, postgres: Link, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = [earn(number + 1) for number in range(5)]

    def strike() -> None:
        postgres.port_of_server = 1  # no further attempt can connect
        postgres.cut_commits(1)

    with held(linked, monkeypatch) as group:
        futures = group.lay_down(*commands)
        group.strike = strike
        group.go_on()
        errors = results(futures)
    for error, command in zip(errors, commands, strict=True):
        assert isinstance(error, DatabaseAway)
        assert error.maybe_done
        assert f"command {show_id(command.id)} may be accepted" in str(error)
    assert set(in_journal(ledger)) >= {show_id(command.id) for command in commands}


def test_a_lost_reply_is_made_up_for_by_the_next_attempt(
    linked: PointsClient, postgres: Link, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = [earn(number + 1, idempotency_key=f"k-{number}") for number in range(5)]
    with held(linked, monkeypatch) as group:
        futures = group.lay_down(*commands)
        group.strike = lambda: postgres.cut_commits(1)
        group.go_on()
        assert results(futures) == [show_id(command.id) for command in commands]
    assert ledger.counts("journal", "aliases") == [len(commands) + len(group.leaders), 0]


def test_calls_in_progress_succeed_when_the_client_is_closed(
    client: PointsClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = [earn(number + 1) for number in range(5)]
    with held(client, monkeypatch) as group:
        futures = group.lay_down(*commands)
        client.close()
        with pytest.raises(ClientClosed):
            client.enqueue(earn())
        group.go_on()
        assert results(futures) == [show_id(command.id) for command in commands]
    assert ledger.counts("journal") == [len(commands) + len(group.leaders)]
