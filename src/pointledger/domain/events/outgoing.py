"""Outgoing events: which there are, which entry is told by which, and their form (CloudEvents 1.0).

An event's id is the same however often it is sent: an entry's event bears the entry's id, a status's that of
its command. It names a user by id alone and carries no free text.
"""

from dataclasses import dataclass
from datetime import date, datetime
from hashlib import blake2b
from typing import Any, Literal, get_args
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

# One event per entry: a capture, which spends, is told as `hold.captured`.
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

EXPIRY_THRESHOLDS = (30, 7, 1)  # days before an expiry at which its points are told of

_RANDOM_BYTES = 10  # of an id, after its milliseconds


@dataclass(frozen=True, slots=True)
class StatusChange:
    """An account (`key`: tenant and user) got another status from a command, after `seq` of its entries and
    `place` of the book's."""

    command_id: UUID
    key: tuple[str, str]
    account_id: UUID
    status_before: str
    status: str
    seq: int
    place: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, as others hear of it. `user_id`: whose account; None where it is nobody's.
    `traceparent`: of the command that did it, where that came with one."""

    id: UUID
    type: str
    tenant_id: str
    user_id: str | None
    time: datetime
    data: dict[str, Any]
    traceparent: str | None = None

    def as_cloud_event(self, source: str) -> dict[str, Any]:
        """CloudEvents 1.0, structured mode. `source` names the ledger; the tenant follows it."""
        data: dict[str, Any] = {"tenant_id": self.tenant_id, **self.data}
        event = {
            "specversion": "1.0",
            "id": show_id(self.id),
            "source": f"{source}/{self.tenant_id}",
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


def notice_id(tenant_id: str, about: str, day: date, moment: datetime) -> UUID:
    """The id of what is told about a tenant's or an account's day, the same whenever it is worked out."""
    text = "\x00".join((tenant_id, about, day.isoformat()))
    digest = blake2b(text.encode(), digest_size=_RANDOM_BYTES).digest()
    return UUID(int=milliseconds_of(moment) << 8 * _RANDOM_BYTES | int.from_bytes(digest, "big"))
