"""Outgoing events are written with their effects, and sent at least once and in order per user."""

import os
import subprocess
import sys
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Exchange, Queue

from pointledger import Earn, Freeze, SetStatus, Spend, Transfer
from pointledger.errors import BrokerAway, EventsQueueFull
from pointledger.events.broker import Publisher, QueueLength
from pointledger.events.relay import Relay
from pointledger.settings import Settings
from pointledger.storage.database import engine_for
from pointledger.storage.events import outbox
from tests import logged
from tests.cli.conftest import Run
from tests.events.listener import Listener, relay_all
from tests.ledger import Ledger, data_of
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]

Shop = dict[str, Any]


def test_a_committed_effect_is_sent_as_an_event(ledger: Ledger, listener: Listener, shop: Shop) -> None:
    earned, _ = ledger.apply(Earn(**shop, amount=50, reason="a secret"), Spend(**shop, amount=20))

    assert relay_all(ledger.settings).events == 2

    first, second = listener.listen(2)
    entry = data_of(earned)["transaction"]
    assert (first["id"], first["type"]) == (entry["id"], "points.earned")
    assert (first["specversion"], first["source"], first["subject"]) == ("1.0", "/pointledger/shop", "anna")
    assert first["datacontenttype"] == "application/json"
    assert first["data"]["transaction"] | entry == first["data"]["transaction"]
    assert first["data"]["transaction"]["command_id"] == earned.task_id
    assert "secret" not in str(first), "free text stays in the ledger"
    assert (second["type"], second["data"]["seq"]) == ("points.spent", 2)
    assert second["data"]["transaction"]["delta"] == -20
    assert (second["data"]["user_id"], second["data"]["tenant_id"]) == ("anna", "shop")
    assert relay_all(ledger.settings).events == 0, "each event is sent once"


def test_a_refused_command_sends_no_event(ledger: Ledger, listener: Listener, shop: Shop) -> None:
    ledger.apply(Earn(**shop, amount=5), Spend(**shop, amount=6))
    assert relay_all(ledger.settings).events == 1


def test_each_side_of_a_transfer_has_an_event(ledger: Ledger, listener: Listener, shop: Shop) -> None:
    ledger.apply(Earn(**shop, amount=9), Earn(tenant_id="shop", user_id="ben", amount=1))
    ledger.apply(Transfer(**shop, to_user_id="ben", amount=4))
    relay_all(ledger.settings)
    transferred = [event for event in listener.listen(4) if event["type"] == "points.transferred"]
    deltas = {event["subject"]: event["data"]["transaction"]["delta"] for event in transferred}
    assert deltas == {"anna": -4, "ben": 4}


def test_a_status_change_keeps_its_place_among_the_entries(
    ledger: Ledger, listener: Listener, shop: Shop
) -> None:
    change: dict[str, Any] = {**shop, "reason": "asked for"}
    ledger.apply(
        Earn(**shop, amount=50),
        SetStatus(**change, status="suspended"),
        SetStatus(**change, status="suspended"),
        SetStatus(**change, status="active"),
        Spend(**shop, amount=20),
        SetStatus(**change, status="closed"),
    )
    relay_all(ledger.settings)
    sent = [
        (event["type"], event["data"].get("status"), event["data"]["seq"]) for event in listener.listen(6)
    ]
    assert sent == [
        ("points.earned", None, 1),
        ("account.status_changed", "suspended", 1),
        ("account.status_changed", "active", 1),
        ("points.spent", None, 2),
        ("points.adjusted", None, 3),
        ("account.status_changed", "closed", 3),
    ]


def test_an_event_has_its_commands_traceparent_and_no_other_extension(
    ledger: Ledger, listener: Listener, shop: Shop
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    ledger.apply(
        Earn(**shop, amount=5, extensions={"traceparent": trace, "tracestate": "a=b", "partitionkey": "x"}),
        SetStatus(**shop, status="suspended", reason="asked for", extensions={"traceparent": trace}),
        SetStatus(**shop, status="active", reason="asked for"),
        Spend(**shop, amount=1, extensions={"traceparent": "Anna's secret"}),
        Transfer(**shop, to_user_id="anna", amount=1, extensions={"traceparent": trace}),
    )
    relay_all(ledger.settings)
    received = listener.listen(4)
    assert [event.get("traceparent") for event in received] == [trace, trace, None, None]
    assert not any({"tracestate", "partitionkey"} & event.keys() for event in received)


def test_a_tenant_gets_the_event_types_that_it_wants_and_no_earlier_events(
    ledger: Ledger, listener: Listener, shop: Shop
) -> None:
    ledger.tenant(events=[])
    ledger.apply(Earn(**shop, amount=50))
    ledger.tenant(events=["hold.opened", "points.spent"])
    ledger.apply(Earn(**shop, amount=50), Freeze(**shop, amount=5), Spend(**shop, amount=1))
    ledger.tenant(events="all")

    assert relay_all(ledger.settings).events == 2
    assert [event["type"] for event in listener.listen(2)] == ["hold.opened", "points.spent"]


def test_a_ledger_whose_tenants_want_no_events_writes_none(ledger: Ledger, shop: Shop) -> None:
    ledger.tenant()
    ledger.apply(Earn(**shop, amount=50))
    assert ledger.counts("outbox") == [0]


def test_a_batch_of_one_lane_is_one_outbox_row(ledger: Ledger, shop: Shop) -> None:
    ledger.apply(*(Earn(**shop, amount=1) for _ in range(300)))
    assert ledger.counts("outbox") == [1]


def test_an_outbox_row_has_a_bounded_number_of_entries(
    ledger: Ledger, listener: Listener, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_ENTRIES_PER_ROW", 4)
    ledger.apply(*(Earn(**shop, amount=1) for _ in range(10)))
    assert ledger.rows("SELECT cardinality(entry_ids) FROM outbox ORDER BY seq") == [(4,), (4,), (2,)]
    relay_all(ledger.settings)
    assert [event["data"]["seq"] for event in listener.listen(10)] == list(range(1, 11))


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
    failed: list[BaseException] = []

    def work() -> None:
        try:
            with Ledger(ledger.settings) as own:
                while own.counts("pending") != [0]:
                    own.drain()
        except BaseException as error:
            failed.append(error)

    def relay() -> None:
        database, publisher = engine_for(ledger.settings.database), Publisher(ledger.settings)
        try:
            Relay(database, publisher, ledger.settings).run(done.is_set, done.wait)
        except BaseException as error:
            failed.append(error)
        finally:
            publisher.close()
            database.dispose()

    relays = [threading.Thread(target=relay) for _ in range(3)]
    workers = [threading.Thread(target=work) for _ in range(3)]
    for thread in relays + workers:
        thread.start()
    for thread in workers:
        thread.join(120)
    wanted = ledger.counts("entries")[0]
    received = listener.listen(wanted)
    done.set()
    for thread in relays:
        thread.join(30)

    assert failed == []
    assert listener.queued_count() == 0
    seqs = defaultdict(list)
    for event in received:
        seqs[event["subject"]].append(event["data"]["seq"])
    assert wanted == 12 + 2 * 11 * 12
    assert all(seqs[user] == list(range(1, 24)) for user in users), (
        "in order, complete and without duplicates"
    )


def test_sent_rows_are_pruned_after_some_days_and_unsent_rows_are_kept(ledger: Ledger, shop: Shop) -> None:
    ledger.apply(Earn(**shop, amount=1))
    ledger.apply(Earn(**shop, amount=1))
    ledger.apply(Earn(**shop, amount=1))
    with ledger.database.begin() as connection:
        first, second, _ = (row[0] for row in ledger.rows("SELECT seq FROM outbox ORDER BY seq"))
        outbox.mark_sent(connection, [first, second])
        connection.exec_driver_sql(
            "UPDATE outbox SET recorded_at = recorded_at - interval '9 days', "
            f"sent_at = sent_at - CASE WHEN seq = {first} THEN interval '9 days' ELSE interval '0' END"
        )
        assert outbox.prune(connection) == 1
    assert ledger.rows("SELECT seq, sent_at IS NULL FROM outbox ORDER BY seq") == [
        (second, False),
        (second + 1, True),
    ]
    with ledger.database.connect() as connection:
        status = outbox.status(connection)
    assert (status.rows, status.events, status.slots) == (1, 1, 1)
    assert status.oldest_seconds is not None
    assert status.oldest_seconds > 9 * 86_400


def test_a_relay_sends_other_slots_while_one_is_locked(
    ledger: Ledger, listener: Listener, shop: Shop
) -> None:
    """No relay waits for a locked slot; it takes another one."""
    slot = outbox.slot_of("shop", "anna")
    other_user = next(user for user in map(str, range(100)) if outbox.slot_of("shop", user) != slot)
    ledger.apply(Earn(**shop, amount=1), Earn(tenant_id="shop", user_id=other_user, amount=1))
    with ledger.database.begin() as connection:
        assert outbox.take_slot(connection, slot - 1) == slot
        assert relay_all(ledger.settings).events == 1
    assert relay_all(ledger.settings).events == 1
    assert [event["subject"] for event in listener.listen(2)] == [other_user, "anna"]


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


DIES_BEFORE_MARKING = """
import os
from pointledger.settings import Settings
from pointledger.storage.events import outbox
from tests.cli.conftest import Run
from tests.events.listener import relay_all

outbox.mark_sent = lambda connection, seqs: os._exit(9)
relay_all(Settings())
"""


def test_events_of_a_relay_that_died_are_sent_again_in_order_with_the_same_ids(
    ledger: Ledger, listener: Listener, shop: Shop
) -> None:
    ledger.apply(*(Earn(**shop, amount=1) for _ in range(5)))
    given = {
        "POINTLEDGER_DATABASE_URL": ledger.settings.database,
        "POINTLEDGER_REDIS_URL": ledger.settings.redis,
        "POINTLEDGER_EVENTS_URL": ledger.settings.events,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
    }
    died = subprocess.run([sys.executable, "-c", DIES_BEFORE_MARKING], env=os.environ | given, check=False)
    assert died.returncode == 9
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
