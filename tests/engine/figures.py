"""Reads the figures of an account that holds change."""

from tests.ledger import Ledger


def sums(ledger: Ledger, user: str = "anna") -> dict[str, int]:
    """Return the figures that are not zero."""
    account = ledger.account(user)
    names = ("balance", "frozen_balance", "total_spent", "expired_points")
    return {name: account[name] for name in names if account[name]}
