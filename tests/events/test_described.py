"""Consumers know events by their JSON Schemas: every type is sent as it is described."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from pointledger import (
    Adjust,
    AnyCommand,
    Clawback,
    ConfirmDeduction,
    Earn,
    Expire,
    Freeze,
    Refund,
    SetStatus,
    Spend,
    Transfer,
    Unfreeze,
)
from pointledger.domain.events.outgoing import EVENT_TYPES
from pointledger.ids import parse_id
from pointledger.storage.events import reminders
from pointledger.storage.ledger import program
from tests.events.described import check_described, check_in_asyncapi
from tests.events.listener import Listener, relay_all
from tests.ledger import Ledger, data_of

Shop = dict[str, Any]

NOW = datetime.now(UTC)
TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


def entry_of(ledger: Ledger, command: AnyCommand) -> UUID:
    (outcome,) = ledger.apply(command)
    return parse_id(data_of(outcome)["transaction"]["id"])


def let_everything_happen(ledger: Ledger, shop: Shop) -> None:
    """Something that each type of event reports."""
    two_days_ago, yesterday = NOW - timedelta(days=2), NOW - timedelta(days=1)
    ledger.apply(Earn(**shop, amount=10, occurred_at=two_days_ago, activates_at=yesterday))
    earned = entry_of(ledger, Earn(**shop, amount=500, expires_at=NOW + timedelta(days=10), extensions=TRACE))
    spent = entry_of(ledger, Spend(**shop, amount=50))
    held, captured = (
        data_of(outcome)["hold_id"]
        for outcome in ledger.apply(Freeze(**shop, amount=9), Freeze(**shop, amount=9))
    )
    ledger.apply(
        Refund(**shop, related_id=spent, amount=50),
        Clawback(**shop, related_id=earned, amount=30),
        Adjust(**shop, amount=5, reason="goodwill"),
        Expire(**shop, amount=3),
        Unfreeze(**shop, hold_id=held),
        ConfirmDeduction(**shop, hold_id=captured),
        Earn(tenant_id="shop", user_id="ben", amount=1),
        Transfer(**shop, to_user_id="ben", amount=4),
    )
    ledger.apply(SetStatus(tenant_id="shop", user_id="ben", status="closed", reason="gone"))
    with ledger.database.begin() as connection:
        tenant, day = program.tenant(connection, "shop"), yesterday.date()
        connection.exec_driver_sql(
            "INSERT INTO closed_windows (tenant_id, local_date, users, points, shared)"
            " VALUES ('shop', %s, 2, 18, '[]')",
            (day,),
        )
        reminders.write_window_closed(connection, tenant, day)
        for days in range(12):
            reminders.write_expiring(connection, tenant, (NOW + timedelta(days=days)).date(), "", 100)


def test_every_type_of_event_is_as_its_schema_describes_it(
    ledger: Ledger, listener: Listener, shop: Shop
) -> None:
    let_everything_happen(ledger, shop)
    events = listener.listen(relay_all(ledger.settings).events)
    for event in events:
        check_described(event)
        check_in_asyncapi(event["type"], event)
    assert {event["type"] for event in events} == set(EVENT_TYPES)
    assert TRACE["traceparent"] in {event.get("traceparent") for event in events}


def test_an_event_that_its_schema_does_not_describe_is_found(
    ledger: Ledger, listener: Listener, shop: Shop
) -> None:
    ledger.apply(Earn(**shop, amount=5))
    relay_all(ledger.settings)
    (event,) = listener.listen(1)
    for change in ({"surprise": 1}, {"delta": "5"}, {"type": "spend"}, {"created_at": "yesterday"}):
        strange = copy.deepcopy(event)
        strange["data"]["transaction"] |= change
        with pytest.raises(AssertionError, match=r"points\.earned"):
            check_described(strange)
    del event["data"]["seq"]
    with pytest.raises(AssertionError, match="seq"):
        check_described(event)
