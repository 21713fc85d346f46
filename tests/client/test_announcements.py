"""Who waits for an outcome looks when there may be something to see: each look costs a round trip."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Event

import pytest

from pointledger import Earn, PointsClient
from pointledger.client.connections import Connected, connected
from pointledger.messaging import redis_client
from pointledger.messaging.notifications import Announcements
from pointledger.settings import Settings
from tests.ledger import Ledger
from tests.waiting import wait_until

LANE = 3


class Noting(Announcements):
    """Notes of each who waits whether there was something to look at from the start."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(redis_client.connect(settings), settings)
        self.looks_at_once: list[bool] = []

    @contextmanager
    def of(self, lane: int | None, heard: int = 0) -> Iterator[Event]:
        with super().of(lane, heard) as news:
            self.looks_at_once.append(news.is_set())
            yield news


@pytest.fixture
def announcements(settings: Settings) -> Iterator[Noting]:
    noting = Noting(settings)
    with noting.of(None):
        wait_until(lambda: all(noting.heard()), "every lane is listened to")
    noting.looks_at_once.clear()
    yield noting
    noting.close()


@pytest.fixture
def client(settings: Settings, announcements: Noting) -> Iterator[PointsClient]:
    def hearing(settings: Settings) -> Connected:
        return replace(connected(settings), announcements=announcements)

    with PointsClient(settings, hearing) as opened:
        yield opened


def test_what_was_not_worked_on_is_waited_for(announcements: Noting, ledger: Ledger) -> None:
    heard = announcements.heard()[LANE]
    with announcements.of(LANE, heard) as news:
        assert not news.is_set()
        ledger.doorbells.tell(LANE + 1)
        ledger.doorbells.tell(LANE)
        assert news.wait(10)
    with announcements.of(LANE, heard) as news:
        assert news.is_set(), "it was worked on since"
    with announcements.of(LANE + 2, announcements.heard()[LANE + 2]) as news:
        assert not news.is_set()


def test_of_what_may_be_old_or_in_any_lane_there_may_be_news(announcements: Noting) -> None:
    with announcements.of(LANE) as news:
        assert news.is_set()
    with announcements.of(None, 1) as news:
        assert news.is_set()


def test_nothing_is_known_before_somebody_listens(settings: Settings) -> None:
    assert not any(Noting(settings).heard())


def test_a_repetition_of_what_is_applied_is_looked_at_at_once(
    client: PointsClient, announcements: Noting, ledger: Ledger
) -> None:
    ledger.tenant()
    command = Earn(tenant_id="shop", user_id="anna", amount=5)
    client.enqueue(command)
    ledger.drain()
    task_id = client.enqueue(command)
    assert client.wait(task_id).state == "applied"
    assert announcements.looks_at_once == [True]


def test_a_new_command_is_not_looked_at_before_its_lane_was_worked_on(
    client: PointsClient, announcements: Noting, ledger: Ledger
) -> None:
    ledger.tenant()
    task_id = client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=5))
    heard = sum(announcements.heard())
    ledger.drain()
    wait_until(lambda: sum(announcements.heard()) > heard, "the batch is announced")
    assert client.wait(task_id).state == "applied"
    client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=5))
    task_id = client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=5))
    with pytest.raises(TimeoutError):
        client.wait(task_id, timeout=0)
    assert announcements.looks_at_once == [True, False]
