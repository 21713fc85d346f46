"""The system as real processes: the same as the fault tests have."""

from tests.faults.conftest import ledger, system

__all__ = ["ledger", "system"]
