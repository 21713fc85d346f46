"""Checks that a ledger violates no invariant."""

from pointledger.observability.verify import verify
from tests.ledger import Ledger


def assert_sound(ledger: Ledger) -> None:
    """Fail with the ids of the violated invariants, if there are any."""
    report = verify(ledger.database)
    assert [finding.invariant.id for finding in report.findings if finding.violations] == []
