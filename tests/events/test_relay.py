"""Events are sent at least once and in order per user, whatever happens to a relay or its broker."""

import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from kombu import Connection, Exchange, Queue

from pointledger import Earn, Spend, Transfer
from pointledger.errors import BrokerAway, EventsQueueFull
from pointledger.events.broker import Publisher, QueueLength
from pointledger.events.relay import Relay
from pointledger.settings import Settings
from pointledger.storage.database import engine_for
from pointledger.storage.events import outbox, outbox_queues
from tests import forked, logged
from tests.cli.conftest import Run
from tests.events import dying_relay
from tests.events.listener import Listener, relay_all
from tests.ledger import Ledger
from tests.waiting import wait_until

Shop = dict[str, Any]


def test_events_wait_while_the_broker_is_unavailable_and_are_sent_in_order(
    ledger: Ledger, listener: Listener, shop: Shop
) -> None:
    away = ledger.settings.model_copy(update={"events_url": "redis://127.0.0.1:1/0"})
    ledger.apply(*(Earn(**shop, amount=1) for _ in range(3)))
    with pytest.raises(BrokerAway, match="POINTLEDGER_EVENTS_URL"):
        relay_all(away)
    ledger.apply(*(Earn(**shop, amount=1) for _ in range(3)))
    with pytest.raises(BrokerAway):
        relay_all(away)

    relay_all(ledger.settings)

    assert [event["data"]["seq"] for event in listener.listen(6)] == [1, 2, 3, 4, 5, 6]


def test_a_relay_continues_after_its_broker_was_unavailable(
    ledger: Ledger, listener: Listener, shop: Shop
) -> None:
    ledger.apply(Earn(**shop, amount=1))
    publisher = Publisher(ledger.settings)
    relay = Relay(ledger.database, publisher, ledger.settings)
    paused: list[float] = []
    prepare, failures = publisher.prepare, iter([True, True])

    def flaky() -> QueueLength:
        if next(failures, False):
            raise BrokerAway("a cable")
        return prepare()

    publisher.prepare = flaky  # type: ignore[method-assign]
    relay.run(lambda: ledger.rows("SELECT count(sent_at) FROM outbox") == [(1,)], paused.append)
    publisher.close()
    assert paused == [0.5, 1.0]
    assert listener.listen(1)[0]["data"]["seq"] == 1


def apply_all(settings: Settings) -> None:
    with Ledger(settings) as own:
        while own.counts("pending") != [0]:
            own.drain()


def relay_until(done: threading.Event, settings: Settings) -> None:
    database, publisher = engine_for(settings.database), Publisher(settings)
    try:
        Relay(database, publisher, settings).run(done.is_set, done.wait)
    finally:
        publisher.close()
        database.dispose()


def test_several_relays_and_workers_lose_no_event_and_keep_each_users_order(
    ledger: Ledger, listener: Listener
) -> None:
    """The transfers are between lanes: the worker of the sender's lane writes the recipient's entries."""
    users = [f"user-{number}" for number in range(12)]
    ledger.apply(*(Earn(tenant_id="shop", user_id=user, amount=1_000) for user in users))
    ledger.client.enqueue_many(
        [
            Transfer(tenant_id="shop", user_id=user, to_user_id=users[(place + step) % 12], amount=1)
            for step in range(1, 12)
            for place, user in enumerate(users)
        ]
    )
    done = threading.Event()
    with ThreadPoolExecutor(6) as threads:
        relays = [threads.submit(relay_until, done, ledger.settings) for _ in range(3)]
        workers = [threads.submit(apply_all, ledger.settings) for _ in range(3)]
        try:
            for worker in workers:
                worker.result(120)
            wanted = ledger.counts("entries")[0]
            received = listener.listen(wanted)
        finally:
            done.set()
        for relay in relays:
            relay.result(30)

    assert listener.queued_count() == 0
    seqs = defaultdict(list)
    for event in received:
        seqs[event["subject"]].append(event["data"]["seq"])
    assert wanted == 12 + 2 * 11 * 12
    assert all(seqs[user] == list(range(1, 24)) for user in users), (
        "in order, complete and without duplicates"
    )


def test_a_relay_sends_other_slots_while_one_is_locked(
    ledger: Ledger, listener: Listener, shop: Shop
) -> None:
    """No relay waits for a locked slot; it takes another one."""
    slot = outbox.slot_of("shop", "anna")
    other_user = next(user for user in map(str, range(100)) if outbox.slot_of("shop", user) != slot)
    ledger.apply(Earn(**shop, amount=1))
    ledger.apply(Earn(tenant_id="shop", user_id=other_user, amount=1))
    with ledger.database.begin() as connection:
        taken = outbox_queues.take_queue(connection, "")
        assert taken == outbox_queues.Queue(slot, "shop")
        assert relay_all(ledger.settings).events == 1
    assert relay_all(ledger.settings).events == 1
    assert [event["subject"] for event in listener.listen(2)] == [other_user, "anna"]


def test_tenants_take_turns_so_that_many_events_of_one_delay_another_by_a_batch(
    ledger: Ledger, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The big tenant's events are in many slots, also in those of the small ones' users."""
    batch = 10
    monkeypatch.setattr("pointledger.events.relay._EVENTS_AT_ONCE", batch)
    users = [f"user-{number}" for number in range(40)]
    for tenant in ("a-small", "big", "small"):
        ledger.tenant(tenant, events="all")
    for _ in range(3):
        ledger.apply(*(Earn(tenant_id="big", user_id=user, amount=1) for user in users))
    small = [Earn(tenant_id=tenant, user_id=users[0], amount=1) for tenant in ("a-small", "small") * 2]
    ledger.apply(*small)
    publisher = Publisher(ledger.settings)
    relay = Relay(ledger.database, publisher, ledger.settings)
    sent = [relay.step() for _ in range(3)]  # one turn of each tenant
    relay.send_all()
    publisher.close()

    events = listener.listen(3 * len(users) + len(small))
    first = [event["data"]["tenant_id"] for event in events[: sum(one.events for one in sent if one)]]
    assert max(one.events for one in sent if one) <= batch
    assert (first.count("a-small"), first.count("small")) == (2, 2), (
        "none waits for all events of the big one"
    )
    assert "big" in first
    for tenant in ("big", "small"):
        own = [
            event for event in events if (event["data"]["tenant_id"], event["subject"]) == (tenant, users[0])
        ]
        assert [event["data"]["seq"] for event in own] == list(range(1, len(own) + 1)), "in order per user"


def test_tenants_share_the_batches_of_a_slot(ledger: Ledger) -> None:
    tenants = [*["big"] * 20, *["small-0", "small-1"] * 5]
    with ledger.database.begin() as connection:
        for tenant_id in tenants:
            row = outbox.OutboxRow(7, tenant_id, datetime.now(UTC), type="t", event_id=uuid4(), data="{}")
            outbox.write(connection, [row])
    tenant_of = dict(tuple(row) for row in ledger.rows("SELECT seq, tenant_id FROM outbox"))
    with ledger.database.connect() as connection:
        seqs = outbox_queues.unsent(connection, outbox_queues.Queue(7, "big"), 9)
        rest = outbox_queues.unsent(connection, outbox_queues.Queue(7, "small-1"), 100)
    assert [tenant_of[seq] for seq in seqs] == ["big", "small-0", "small-1"] * 3
    assert [tenant_of[seq] for seq in rest] == ["small-1"] * 5
    for tenant_id in set(tenants):
        own = [seq for seq in seqs if tenant_of[seq] == tenant_id]
        assert own == sorted(seq for seq in tenant_of if tenant_of[seq] == tenant_id)[:3]


def test_lost_queues_are_declared_again_before_the_next_event(
    settings: Settings, ledger: Ledger, shop: Shop
) -> None:
    publisher = Publisher(settings)
    relay = Relay(ledger.database, publisher, settings)
    ledger.apply(Earn(**shop, amount=1))
    relay.send_all()
    with Listener(settings) as listener:
        assert listener.queued_count() == 0
        ledger.redis.flushdb()
        ledger.apply(Earn(**shop, amount=1))
        relay.send_all()
        assert [event["data"]["seq"] for event in listener.listen(1)] == [2]
    publisher.close()


def test_events_of_a_relay_that_died_are_sent_again_in_order_with_the_same_ids(
    ledger: Ledger, listener: Listener, shop: Shop
) -> None:
    ledger.apply(*(Earn(**shop, amount=1) for _ in range(5)))
    assert forked.run(dying_relay.relay_and_die, ledger.settings) == dying_relay.STATUS
    ledger.apply(Earn(**shop, amount=1))

    wait_until(lambda: relay_all(ledger.settings).events == 6, "the dead relay's slot is free")

    received = listener.listen(11)
    ids = [event["id"] for event in received]
    assert ids[:5] == ids[5:10]
    assert [event["data"]["seq"] for event in received] == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6]


def test_the_command_line_sends_and_shows_unsent_events(
    ledger: Ledger, listener: Listener, shop: Shop, run: Run
) -> None:
    ledger.apply(Earn(**shop, amount=1), Spend(**shop, amount=1))
    unsent = run("outbox", "--json").json
    assert (unsent["waiting"], unsent["rows"], unsent["slots"]) == (2, 1, 1)
    assert unsent["oldest_seconds"] >= 0
    assert [run("outbox", "--within", limit).status for limit in ("0", "600")] == [1, 0]
    assert run("relay", "--once", "--json").json == {"sent": 2, "waiting": 0}
    assert run("outbox", "--json").json == {"waiting": 0, "rows": 0, "slots": 0, "oldest_seconds": None}
    assert len(listener.listen(2)) == 2


def test_a_relay_stops_at_a_full_queue_and_goes_on_when_consumers_have_made_room(
    ledger: Ledger, listener: Listener, shop: Shop
) -> None:
    bounded = ledger.settings.model_copy(update={"events_queue_limit": 3})
    ledger.apply(*(Earn(**shop, amount=1) for _ in range(3)))
    assert relay_all(bounded).events == 3
    ledger.apply(*(Earn(**shop, amount=1) for _ in range(3)))
    with pytest.raises(EventsQueueFull, match="POINTLEDGER_EVENTS_QUEUE_LIMIT, 3"):
        relay_all(bounded)
    with ledger.database.connect() as connection:
        assert outbox.status(connection).events == 3, "they wait in Postgres"

    listener.listen(3)
    assert relay_all(bounded).events == 3
    assert [event["data"]["seq"] for event in listener.listen(6)] == [1, 2, 3, 4, 5, 6]


def test_a_relay_that_waits_for_room_says_so_once(ledger: Ledger, listener: Listener, shop: Shop) -> None:
    bounded = ledger.settings.model_copy(update={"events_queue_limit": 1})
    ledger.apply(Earn(**shop, amount=1))
    relay_all(bounded)
    ledger.apply(Earn(**shop, amount=1))
    publisher = Publisher(bounded)
    rounds = iter([False] * 4 + [True])
    with logged.records() as records:
        Relay(ledger.database, publisher, bounded).run(rounds.__next__, lambda _: None)
    publisher.close()
    assert [vars(record)["event"] for record in records] == ["relay_waits"]


def test_on_redis_the_queue_of_another_service_also_stops_a_relay(
    ledger: Ledger, listener: Listener, shop: Shop, redis_url: str
) -> None:
    if not ledger.settings.events.startswith("redis"):
        pytest.skip("RabbitMQ does not tell which queues others have bound")
    exchange = Exchange(ledger.settings.events_exchange, type="topic", durable=True)
    with Connection(redis_url) as connection:
        queue = Queue("of-the-shop", exchange, routing_key="points.*")
        queue(connection.default_channel).declare()
        bounded = ledger.settings.model_copy(update={"events_queue_limit": 1, "events_queues": ()})
        ledger.apply(Earn(**shop, amount=1))
        relay_all(bounded)
        ledger.apply(Earn(**shop, amount=1))
        with pytest.raises(EventsQueueFull, match="of-the-shop"):
            relay_all(bounded)
        queue(connection.default_channel).delete()
