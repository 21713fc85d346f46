"""What a page shows live: rate, depth and lag, read once for all who watch."""

from collections.abc import Iterator

import pytest
import redis

from pointledger import Earn
from pointledger.observability import counters, pulse
from pointledger.observability.counters import CounterFlusher
from pointledger.observability.pulse import Pulse
from pointledger.settings import Settings
from tests.ledger import Ledger


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        opened.tenant()
        opened.tenant("cafe")
        yield opened


def earns(count: int) -> list[Earn]:
    return [Earn(tenant_id="shop", user_id="anna", amount=5) for _ in range(count)]


@pytest.fixture
def flusher(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> CounterFlusher:
    """Sends what this process has counted, as a worker does. The tenant has had three commands."""
    # A process counts so many tenants by name, and other tests may have had as many.
    monkeypatch.setattr(counters, "_tenants", set())
    made = CounterFlusher(ledger.redis, ledger.settings)
    ledger.apply(*earns(3))
    made.flush()
    return made


def test_rate_depth_and_lag_are_read_once_in_two_seconds(ledger: Ledger, flusher: CounterFlusher) -> None:
    clock = Clock()
    watching = Pulse(ledger.database, ledger.redis, ledger.settings, clock)
    ledger.client.enqueue_many(earns(6))
    (first,) = watching.beats("shop")
    assert (first.per_second, first.waiting, first.oldest_seconds > 0) == (None, 6, True)
    ledger.drain()
    flusher.flush()
    clock.now = 1.9
    assert watching.beats("shop") == [first], "all who watch share a reading"
    clock.now = 3.0
    _, second = watching.beats("shop")
    assert (second.per_second, second.waiting, second.oldest_seconds) == (2.0, 0, 0.0)


def test_readings_are_of_one_tenant(ledger: Ledger) -> None:
    clock = Clock()
    watching = Pulse(ledger.database, ledger.redis, ledger.settings, clock)
    ledger.client.enqueue_many(earns(3))
    assert [beat.waiting for beat in watching.beats("cafe")] == [0]
    assert [beat.waiting for beat in watching.beats("shop")] == [3]


def test_without_redis_depth_and_lag_are_still_read(ledger: Ledger) -> None:
    clock = Clock()
    nowhere = redis.Redis(port=1, socket_connect_timeout=1)
    watching = Pulse(ledger.database, nowhere, ledger.settings, clock)
    for now in (0.0, 2.0):
        clock.now = now
        watching.beats("shop")
    assert [(beat.per_second, beat.waiting) for beat in watching.beats("shop")] == [(None, 0)] * 2


def test_counters_that_restart_give_no_negative_rate(ledger: Ledger, flusher: CounterFlusher) -> None:
    clock = Clock()
    watching = Pulse(ledger.database, ledger.redis, ledger.settings, clock)
    watching.beats("shop")
    ledger.redis.flushdb()
    ledger.apply(*earns(1))
    flusher.flush()  # sends what is new: less than was counted before
    clock.now = 2.0
    rate = watching.beats("shop")[-1].per_second
    assert rate is not None
    assert rate >= 0.0


def test_old_readings_and_tenants_that_are_not_watched_are_forgotten(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    watching = Pulse(ledger.database, ledger.redis, ledger.settings, clock)
    monkeypatch.setattr(pulse, "_KEPT_SECONDS", 0.0)
    for now in (0.0, 2.0, 4.0):
        clock.now = now
        assert len(watching.beats("shop")) == 1
    monkeypatch.setattr(pulse, "_MOST_TENANTS", 1)
    watching.beats("cafe")
    assert list(watching._watched) == ["cafe"]
