"""What the `data` of each outgoing event has, for its JSON Schema. Tests compare real events with it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pointledger.api.schemas.points import AccountStatus, Moment, Subtype, TransactionType, Ulid
from pointledger.domain.events.outgoing import EVENT_OF_ENTRY, EXPIRY_THRESHOLDS, EventType

Count = Annotated[int, Field(ge=0)]


class _Data(BaseModel):
    model_config = ConfigDict(extra="allow")  # an event may gain fields

    tenant_id: str = Field(description="The tenant.")


class _OfAccount(_Data):
    user_id: str = Field(description="The user. A pseudonym, once the user is erased.")
    account_id: Ulid = Field(description="The user's account.")
    seq: Annotated[int, Field(ge=0)] = Field(
        description="The number of the account's latest entry then. It orders the events of an account."
    )


class Transaction(BaseModel):
    """An entry of the ledger. What does not apply is left out."""

    model_config = ConfigDict(extra="allow")

    id: Ulid = Field(description="The entry's id, which is the event's.")
    seq: Annotated[int, Field(ge=1)] = Field(description="Its number in its account, without gaps.")
    type: TransactionType = Field(description="What kind of entry it is.")
    subtype: Subtype = Field(description="The kind, more exactly.")
    amount: Annotated[int, Field(ge=1)] = Field(description="Points, always above 0.")
    delta: int = Field(description="What it changes in the available balance.")
    delta_frozen: int = Field(description="What it changes in the held points.")
    delta_pending: int = Field(description="What it changes in the pending points.")
    delta_debt: int = Field(description="What it changes in the debt.")
    balance_before: Count = Field(description="The available balance before.")
    balance_after: Count = Field(description="The available balance after.")
    frozen_after: Count = Field(description="The held points after.")
    pending_after: Count = Field(description="The pending points after.")
    debt_after: Count = Field(description="The debt after.")
    related_id: Ulid | None = Field(None, description="The entry or hold that it is about.")
    rule_id: Ulid | None = Field(None, description="The rule that granted it.")
    rule_version: Count | None = Field(None, description="The version of that rule.")
    expires_at: Moment | None = Field(None, description="When the points expire.")
    occurred_at: Moment = Field(description="When it happened.")
    created_at: Moment = Field(description="When the ledger recorded it.")
    command_id: Ulid = Field(description="The command that wrote it: its task id.")


class EntryWritten(_OfAccount):
    """The data of every event that reports an entry."""

    transaction: Transaction = Field(description="The entry.")


class StatusChanged(_OfAccount):
    """An account has another status."""

    status_before: AccountStatus = Field(description="The status before.")
    status: AccountStatus = Field(description="The new status.")


class ExpiringLot(BaseModel):
    """A lot that expires soon."""

    model_config = ConfigDict(extra="allow")

    id: Ulid = Field(description="The lot's id.")
    points: Annotated[int, Field(ge=1)] = Field(description="What is left of it, held points not counted.")
    expires_at: Moment = Field(description="When they expire.")


class ExpiringSoon(_OfAccount):
    """Points of a user expire soon. Each lot is reported once per threshold."""

    threshold_days: Literal[EXPIRY_THRESHOLDS] = Field(description="Within how many days.")  # type: ignore[valid-type]
    until: Moment = Field(description="The end of that day in the tenant's zone.")
    points: Annotated[int, Field(ge=1)] = Field(
        description="How many points expire, held points not counted."
    )
    lots_in_all: Annotated[int, Field(ge=1)] = Field(description="How many lots they are in.")
    lots: list[ExpiringLot] = Field(description="The first thousand of them, the soonest expiry first.")


class WindowClosed(_Data):
    """A local day of the tenant has ended."""

    period: Literal["day"] = Field(description="The length of the window.")
    local_date: Annotated[str, Field(json_schema_extra={"format": "date"})] = Field(
        description="The day, in the tenant's zone."
    )
    users: Count = Field(description="How many users earned under limits per day.")
    points: Count = Field(description="How many points they earned under these limits.")


OF_ENTRIES: dict[EventType, list[tuple[str, str]]] = {
    event: [kind for kind, told in EVENT_OF_ENTRY.items() if told == event]
    for event in EVENT_OF_ENTRY.values()
}
OTHERS: dict[EventType, type[BaseModel]] = {
    "account.status_changed": StatusChanged,
    "points.expiring_soon": ExpiringSoon,
    "limit.window_closed": WindowClosed,
}


def model_of(event: EventType) -> type[BaseModel]:
    """The shape of the event's data."""
    return EntryWritten if event in OF_ENTRIES else OTHERS[event]
