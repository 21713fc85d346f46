"""Defines accounts: the points of a user within a tenant."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from pointledger.domain.ledger.holds import Hold
from pointledger.domain.ledger.lots import Lot

MAX_BALANCE = 10**15  # of all points of an account together, and of its debt
MAX_TOTAL = 10**18  # of each total of incoming points; totals of outgoing points cannot exceed their sum


@dataclass(slots=True)
class Account:
    """One user's points within a tenant. `balance` is what is available."""

    id: UUID
    tenant_id: str
    user_id: str
    points_type: str
    created_at: datetime
    updated_at: datetime
    as_of: datetime  # the account's clock, which never goes back
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
    expiry_exempt: bool = False  # its points do not expire
    expires_not_before: datetime | None = None  # due points wait until the end of a notice period
    pseudonym: str | None = None  # replaces `user_id` once the user is erased
    is_new: bool = False
    changed: bool = False
    pending: list[Lot] = field(default_factory=list)  # all of them if one is due, else possibly none
    lots: list[Lot] = field(default_factory=list)  # those that the batch needs, in consumption order
    others_activate_from: datetime | None = None  # pending lots that are not loaded activate no sooner
    others_expire_from: datetime | None = None  # lots that are not loaded expire no sooner; None: never
    holds: dict[UUID, Hold] = field(default_factory=dict)  # those that the batch needs, oldest first
    next_timeout_at: datetime | None = None  # of `holds`: the batch needs no others
    as_loaded: tuple[Any, ...] = ()  # its columns as read: only changes are written
