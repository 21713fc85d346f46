"""Defines outgoing events: their types, the event of each kind of entry, and their form (CloudEvents 1.0).

An event keeps its id when it is sent again: an entry's event has the entry's id, and a status change has its
command's id. Events identify users only by id and carry no free text.
"""

from dataclasses import dataclass
from datetime import date, datetime
from hashlib import blake2b
from typing import Any, Literal, get_args
from urllib.parse import quote
from uuid import UUID

from pointledger.ids import milliseconds_of, show_id

EventType = Literal[
    "points.earned",
    "points.spent",
    "points.expired",
    "points.expiring_soon",
    "points.activated",
    "points.transferred",
    "points.refunded",
    "points.clawed_back",
    "points.adjusted",
    "hold.opened",
    "hold.captured",
    "hold.released",
    "account.status_changed",
    "limit.window_closed",
]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)

# One event per entry. A capture spends points and is reported as `hold.captured`.
EVENT_OF_ENTRY: dict[tuple[str, str], EventType] = {
    ("earn", "rule"): "points.earned",
    ("earn", "manual"): "points.earned",
    ("earn", "import"): "points.earned",
    ("earn", "transfer_in"): "points.transferred",
    ("spend", "purchase"): "points.spent",
    ("spend", "transfer_out"): "points.transferred",
    ("spend", "exchange"): "points.spent",
    ("spend", "capture"): "hold.captured",
    ("expire", "scheduled"): "points.expired",
    ("expire", "manual"): "points.expired",
    ("refund", "linked"): "points.refunded",
    ("refund", "goodwill"): "points.refunded",
    ("adjust", "clawback"): "points.clawed_back",
    ("adjust", "activation"): "points.activated",
    ("adjust", "admin"): "points.adjusted",
    ("adjust", "forfeit"): "points.adjusted",
    ("freeze", "hold"): "hold.opened",
    ("unfreeze", "release"): "hold.released",
    ("unfreeze", "timeout"): "hold.released",
}

EXPIRY_THRESHOLDS = (30, 7, 1)  # days before an expiry at which the ledger sends a reminder

_IN_PATHS = "!$&'()*+,;=:@"  # characters that a URI's path may have as they are, in a tenant's id, too
_RANDOM_BYTES = 10  # the rest of an id, after its milliseconds


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A change of an account's status by a command. `key` is tenant and user.

    `seq` counts the account's entries before the change, `place` those of the book.
    """

    command_id: UUID
    key: tuple[str, str]
    account_id: UUID
    status_before: str
    status: str
    seq: int
    place: int


@dataclass(frozen=True, slots=True)
class Event:
    """An outgoing event. `user_id` is None for an event of a whole tenant.

    `traceparent` comes from the command that caused the event, if the command has one.
    """

    id: UUID
    type: str
    tenant_id: str
    user_id: str | None
    time: datetime
    data: dict[str, Any]
    traceparent: str | None = None

    def as_cloud_event(self, source: str) -> dict[str, Any]:
        """Format as CloudEvents 1.0 in structured mode. The event's source is `source`, then the tenant."""
        data: dict[str, Any] = {"tenant_id": self.tenant_id, **self.data}
        event = {
            "specversion": "1.0",
            "id": show_id(self.id),
            "source": f"{source}/{quote(self.tenant_id, safe=_IN_PATHS)}",
            "type": self.type,
            "time": self.time,
            "datacontenttype": "application/json",
            "data": data,
        }
        if self.user_id is not None:
            event["subject"] = data["user_id"] = self.user_id
        if self.traceparent is not None:
            event["traceparent"] = self.traceparent
        return event


def reminder_id(tenant_id: str, about: str, day: date, moment: datetime) -> UUID:
    """Derive the id of an event about a tenant's or an account's day. The same arguments give the same id."""
    text = "\x00".join((tenant_id, about, day.isoformat()))
    digest = blake2b(text.encode(), digest_size=_RANDOM_BYTES).digest()
    return UUID(int=milliseconds_of(moment) << 8 * _RANDOM_BYTES | int.from_bytes(digest, "big"))
