"""Which effects have events, what is in an event, and how the outbox keeps them."""

from typing import Any

import pytest

from pointledger import Earn, Freeze, SetStatus, Spend, Transfer
from pointledger.storage.events import outbox
from tests.events.listener import Listener, relay_all
from tests.ledger import Ledger, data_of

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
