"""Accounts and their entries: what a user has within a tenant, and the rows that say how it came about."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from pointledger.domain.ledger.holds import Hold
from pointledger.domain.ledger.lots import Lot

MAX_BALANCE = 10**15  # of all that an account holds, and of what it owes


MAX_TOTAL = 10**18  # of what has come to an account, way by way; what has gone is bounded by that


@dataclass(slots=True)
class Account:
    """One user's points within a tenant. `balance` is what is available."""

    id: UUID
    tenant_id: str
    user_id: str
    points_type: str
    created_at: datetime
    updated_at: datetime
    as_of: datetime  # its own clock, which never goes back
    status: str = "active"
    balance: int = 0
    frozen_balance: int = 0
    pending_balance: int = 0
    debt: int = 0
    total_earned: int = 0
    total_spent: int = 0
    expired_points: int = 0
    total_refunded: int = 0
    total_transferred_in: int = 0
    total_transferred_out: int = 0
    total_adjusted_in: int = 0
    total_adjusted_out: int = 0
    total_clawed_back: int = 0
    version: int = 0
    next_expiry_at: datetime | None = None  # no active lot expires sooner; None: none expires
    next_activation_at: datetime | None = None  # no pending lot activates sooner; None: none is pending
    expiry_exempt: bool = False  # time takes nothing from it
    expires_not_before: datetime | None = None  # what is due waits until then: a notice
    pseudonym: str | None = None  # of an erased user: what stands in the place of `user_id` for ever
    is_new: bool = False
    changed: bool = False
    pending: list[Lot] = field(default_factory=list)  # all of them where one is due, else perhaps none
    lots: list[Lot] = field(default_factory=list)  # as far as the batch needs them, in consumption order
    others_activate_from: datetime | None = None  # what is pending and not loaded activates no sooner
    others_expire_from: datetime | None = None  # the lots left unloaded expire no sooner; None: never
    holds: dict[UUID, Hold] = field(default_factory=dict)  # as far as the batch needs them, oldest first
    next_timeout_at: datetime | None = None  # of `holds`, and the batch looks no further
    as_loaded: tuple[Any, ...] = ()  # its columns as they were read: only what differs is written
