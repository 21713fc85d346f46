"""Tests outgoing events."""

from datetime import date
from uuid import UUID

from pointledger.domain.events.outgoing import EVENT_OF_ENTRY, EVENT_TYPES, Event, reminder_id
from pointledger.domain.ledger.entry import TOTALS
from pointledger.domain.program.tenant import tenant_from
from tests.domain.books import NOON, Shop


def test_every_kind_of_entry_has_one_event() -> None:
    assert set(EVENT_OF_ENTRY) == set(TOTALS)
    assert set(EVENT_OF_ENTRY.values()) | {
        "points.expiring_soon",
        "account.status_changed",
        "limit.window_closed",
    } == set(EVENT_TYPES)


def test_a_tenant_sends_no_events_by_default() -> None:
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


def test_an_event_without_a_user_has_no_subject() -> None:
    event = Event(UUID(int=7), "limit.window_closed", "shop", None, NOON, {}).as_cloud_event("/ledger")
    assert "subject" not in event
    assert event["data"] == {"tenant_id": "shop"}


def test_a_reminders_id_depends_on_its_tenant_subject_and_day() -> None:
    day = date(2026, 3, 1)
    first = reminder_id("shop", "anna/30", day, NOON)
    assert first == reminder_id("shop", "anna/30", day, NOON)
    assert first != reminder_id("shop", "anna/7", day, NOON)
    assert first != reminder_id("cafe", "anna/30", day, NOON)


def test_an_unchanged_status_is_not_recorded() -> None:
    shop = Shop()
    shop.earn("anna", 5)
    shop.set_status("anna", "suspended")
    shop.set_status("anna", "suspended")
    assert [(change.status_before, change.status, change.seq) for change in shop.book.status_changes] == [
        ("active", "suspended", 1)
    ]
