"""Schemas of a tenant's books by day."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from pointledger.api.schemas.points import Count, Delta, Head, Moment, Points, Tenant

Day = Annotated[str, Field(json_schema_extra={"format": "date"}, examples=["2026-03-01"])]


class DayOfBooks(BaseModel):
    """What happened on one day of the tenant's calendar, in points. `outstanding` counts available, frozen
    and pending points at the day's end; it is null by `occurred`."""

    day: Day
    earned: Points
    spent: Points
    expired: Points
    refunded: Points
    clawed_back: Points
    adjusted_in: Points
    adjusted_out: Points
    transferred_in: Points
    transferred_out: Points
    entries: Annotated[Count, Field(description="The number of transactions.")]
    outstanding: Delta | None


class Books(BaseModel):
    """A tenant's days, oldest first. `counted_to` is null if every transaction is counted."""

    tenant_id: Tenant
    by: Literal["recorded", "occurred"]
    days: list[DayOfBooks]
    as_of: Moment
    counted_to: Moment | None


class BooksResponse(Head):
    """A tenant's books by day."""

    data: Books
