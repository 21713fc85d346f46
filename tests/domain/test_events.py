"""Events as others hear them."""

from datetime import date
from uuid import UUID

from pointledger.domain.events.outgoing import EVENT_OF_ENTRY, EVENT_TYPES, Event, notice_id
from pointledger.domain.ledger.entry import TOTALS
from pointledger.domain.program.tenant import tenant_from
from tests.domain.books import NOON, Shop


def test_every_kind_of_entry_is_told_by_one_event() -> None:
    assert set(EVENT_OF_ENTRY) == set(TOTALS)
    assert set(EVENT_OF_ENTRY.values()) | {
        "points.expiring_soon",
        "account.status_changed",
        "limit.window_closed",
    } == set(EVENT_TYPES)


def test_a_tenant_wants_no_events_unless_it_says_so() -> None:
    wanted = [
        tenant_from({"tenant_id": "shop", **config}).wanted_events
        for config in ({}, {"events": ["points.spent"]}, {"events": "all"})
    ]
    assert wanted == [frozenset(), {"points.spent"}, set(EVENT_TYPES)]


def test_an_event_is_a_cloud_event_with_the_user_as_its_subject() -> None:
    event = Event(UUID(int=7), "points.spent", "shop", "anna", NOON, {"seq": 3})
    assert event.as_cloud_event("/ledger") == {
        "specversion": "1.0",
        "id": "00000000000000000000000007",
        "source": "/ledger/shop",
        "type": "points.spent",
        "subject": "anna",
        "time": NOON,
        "datacontenttype": "application/json",
        "data": {"tenant_id": "shop", "user_id": "anna", "seq": 3},
    }


def test_an_event_carries_the_trace_of_its_command() -> None:
    traced = Event(UUID(int=7), "points.spent", "shop", "anna", NOON, {}, "00-trace")
    assert traced.as_cloud_event("/ledger")["traceparent"] == "00-trace"


def test_what_concerns_nobody_has_no_subject() -> None:
    told = Event(UUID(int=7), "limit.window_closed", "shop", None, NOON, {}).as_cloud_event("/ledger")
    assert "subject" not in told
    assert told["data"] == {"tenant_id": "shop"}


def test_the_id_of_a_notice_follows_from_what_it_is_about() -> None:
    day = date(2026, 3, 1)
    first = notice_id("shop", "anna/30", day, NOON)
    assert first == notice_id("shop", "anna/30", day, NOON)
    assert first != notice_id("shop", "anna/7", day, NOON)
    assert first != notice_id("cafe", "anna/30", day, NOON)


def test_a_status_that_stays_the_same_is_no_change() -> None:
    shop = Shop()
    shop.earn("anna", 5)
    shop.set_status("anna", "suspended")
    shop.set_status("anna", "suspended")
    assert [(change.status_before, change.status, change.seq) for change in shop.book.status_changes] == [
        ("active", "suspended", 1)
    ]
