"""Accounts of `anna` with changes that are due and not recorded."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from pointledger import ApplyRule, SetExpiryExemption, SetStatus
from tests.due import (
    LATER,
    LONG_AGO,
    ago,
    earn,
    freeze,
    owe,
)
from tests.ledger import Ledger


def expired(ledger: Ledger) -> None:
    ledger.apply(earn("anna", 5, expires_at=ago(1)), earn("anna", 8, expires_at=LATER), earn("anna", 3))


def activated(ledger: Ledger) -> None:
    ledger.rule(name="order", event_type="order.paid", points=15, pending_days=14)
    order = ApplyRule(tenant_id="shop", user_id="anna", event_type="order.paid", occurred_at=LONG_AGO)
    ledger.apply(
        order, earn("anna", 8, activates_at=ago(1), expires_at=LATER), earn("anna", 4, activates_at=LATER)
    )


def activated_and_expired(ledger: Ledger) -> None:
    ledger.apply(earn("anna", 8, activates_at=ago(9), expires_at=ago(1)), earn("anna", 2))


def timed_out(ledger: Ledger) -> None:
    ledger.apply(
        earn("anna", 10, expires_at=LATER),
        freeze("anna", 4, expires_at=ago(1)),
        freeze("anna", 2, expires_at=LATER),
        freeze("anna", 3),
    )


def timed_out_after_its_lots_with_grace(ledger: Ledger) -> None:
    ledger.apply(
        earn("anna", 10, expires_at=ago(6)),
        earn("anna", 5, expires_at=LATER),
        freeze("anna", 12, expires_at=ago(3)),
    )


def timed_out_after_its_lots_without_grace(ledger: Ledger) -> None:
    ledger.tenant(points_type="cash_equivalent", hold_grace_days=0)
    timed_out_after_its_lots_with_grace(ledger)


def grace_that_is_over(ledger: Ledger) -> None:
    ledger.tenant(points_type="cash_equivalent", hold_grace_days=2)
    timed_out_after_its_lots_with_grace(ledger)


def activated_for_a_debt(ledger: Ledger) -> None:
    owe(ledger, "anna", 6)
    ledger.apply(earn("anna", 9, activates_at=ago(2), expires_at=LATER))


def activated_for_a_larger_debt(ledger: Ledger) -> None:
    owe(ledger, "anna", 60)
    ledger.apply(earn("anna", 9, activates_at=ago(2)), earn("anna", 9, activates_at=ago(1)))


def released_for_a_debt(ledger: Ledger) -> None:
    ledger.apply(
        earn("anna", 4, expires_at=LATER), earn("anna", 4, expires_at=LATER + timedelta(9)),
        freeze("anna", 8, expires_at=ago(2)),
    )  # fmt: skip
    owe(ledger, "anna", 6)


def all_at_different_moments(ledger: Ledger) -> None:
    """One of the hold's lots expires before the hold times out, and one after; there is also a debt."""
    ledger.apply(
        earn("anna", 10, expires_at=ago(30)),
        earn("anna", 20, expires_at=ago(10)),
        freeze("anna", 30, expires_at=ago(20)),
        earn("anna", 7, activates_at=ago(15), expires_at=ago(5)),
        earn("anna", 9, activates_at=ago(4), expires_at=LATER),
        earn("anna", 1, activates_at=ago(3), expires_at=ago(2)),
    )
    owe(ledger, "anna", 3)


def on_a_suspended_account(ledger: Ledger) -> None:
    all_at_different_moments(ledger)
    ledger.apply(
        SetStatus(tenant_id="shop", user_id="anna", status="suspended", reason="why", occurred_at=ago(90))
    )


def more_lots_than_one_load(ledger: Ledger) -> None:
    """The account has more lots than the query loads at first."""
    ledger.apply(*(earn("anna", 1, expires_at=ago(50 - each)) for each in range(40)), earn("anna", 7))


SOMETHING_DUE = [
    expired, activated, activated_and_expired, timed_out, timed_out_after_its_lots_with_grace,
    timed_out_after_its_lots_without_grace, grace_that_is_over, activated_for_a_debt,
    activated_for_a_larger_debt, released_for_a_debt, all_at_different_moments, on_a_suspended_account,
    more_lots_than_one_load,
]  # fmt: skip


def switched_off(ledger: Ledger) -> None:
    expired(ledger)
    ledger.tenant(points_type="cash_equivalent", expire_enabled=False)


def notice_of_the_tenant(ledger: Ledger) -> None:
    switched_off(ledger)
    ledger.tenant(points_type="cash_equivalent", expire_enabled=True)


def exempt(ledger: Ledger) -> None:
    ledger.apply(earn("anna", 3))
    fields: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna", "reason": "why"}
    ledger.apply(SetExpiryExemption(**fields, exempt=True))
    ledger.apply(earn("anna", 5, expires_at=ago(1)), earn("anna", 8, expires_at=LATER))


def notice_of_the_account(ledger: Ledger) -> None:
    exempt(ledger)
    fields: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna", "reason": "why"}
    ledger.apply(SetExpiryExemption(**fields, exempt=False))


def closed(ledger: Ledger) -> None:
    expired(ledger)
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("UPDATE accounts SET status = 'closed'")


def ahead_of_now(ledger: Ledger) -> None:
    """The account's clock has passed the due moment, in a notice period."""
    expired(ledger)
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql(
            """UPDATE accounts SET as_of = now() + interval '1 day',
                                   expires_not_before = now() + interval '2 days'"""
        )


# What is due does not expire in these.
DUE_AND_KEPT: list[Callable[[Ledger], None]] = [
    switched_off,
    notice_of_the_tenant,
    exempt,
    notice_of_the_account,
    closed,
    ahead_of_now,
]
