"""A caller that waits for an outcome queries it only when it may have changed, because each query costs a
round trip."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Event

import pytest

from pointledger import Earn, PointsClient
from pointledger.client.connections import Connected, connected
from pointledger.messaging import redis_client
from pointledger.messaging.notifications import LaneNotifications
from pointledger.settings import Settings
from tests.ledger import Ledger
from tests.waiting import wait_until

LANE = 3


class RecordingNotifications(LaneNotifications):
    """Records for each waiting caller whether its event was set at the start."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(redis_client.connect(settings), settings)
        self.set_at_start: list[bool] = []

    @contextmanager
    def of(self, lane: int | None, sequence: int = 0) -> Iterator[Event]:
        with super().of(lane, sequence) as notified:
            self.set_at_start.append(notified.is_set())
            yield notified


@pytest.fixture
def notifications(settings: Settings) -> Iterator[RecordingNotifications]:
    recording = RecordingNotifications(settings)
    with recording.of(None):
        wait_until(lambda: all(recording.sequence()), "every lane is subscribed")
    recording.set_at_start.clear()
    yield recording
    recording.close()


@pytest.fixture
def client(settings: Settings, notifications: RecordingNotifications) -> Iterator[PointsClient]:
    def connect(settings: Settings) -> Connected:
        return replace(connected(settings), notifications=notifications)

    with PointsClient(settings, connect) as opened:
        yield opened


def test_a_caller_waits_until_a_worker_has_processed_its_lane(
    notifications: RecordingNotifications, ledger: Ledger
) -> None:
    sequence = notifications.sequence()[LANE]
    with notifications.of(LANE, sequence) as notified:
        assert not notified.is_set()
        ledger.doorbells.notify(LANE + 1)
        ledger.doorbells.notify(LANE)
        assert notified.wait(10)
    with notifications.of(LANE, sequence) as notified:
        assert notified.is_set(), "a worker has processed the lane since"
    with notifications.of(LANE + 2, notifications.sequence()[LANE + 2]) as notified:
        assert not notified.is_set()


def test_the_event_is_set_at_once_without_a_sequence_or_a_lane(notifications: RecordingNotifications) -> None:
    with notifications.of(LANE) as notified:
        assert notified.is_set()
    with notifications.of(None, 1) as notified:
        assert notified.is_set()


def test_sequences_are_0_before_the_subscription(settings: Settings) -> None:
    assert not any(RecordingNotifications(settings).sequence())


def test_the_outcome_of_a_duplicate_is_queried_at_once(
    client: PointsClient, notifications: RecordingNotifications, ledger: Ledger
) -> None:
    ledger.tenant()
    command = Earn(tenant_id="shop", user_id="anna", amount=5)
    client.enqueue(command)
    ledger.drain()
    task_id = client.enqueue(command)
    assert client.wait(task_id).state == "applied"
    assert notifications.set_at_start == [True]


def test_the_outcome_of_a_new_command_is_not_queried_before_its_lane_is_processed(
    client: PointsClient, notifications: RecordingNotifications, ledger: Ledger
) -> None:
    ledger.tenant()
    task_id = client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=5))
    sequence = sum(notifications.sequence())
    ledger.drain()
    wait_until(lambda: sum(notifications.sequence()) > sequence, "the notification has arrived")
    assert client.wait(task_id).state == "applied"
    client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=5))
    task_id = client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=5))
    with pytest.raises(TimeoutError):
        client.wait(task_id, timeout=0)
    assert notifications.set_at_start == [True, False]
