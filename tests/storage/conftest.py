"""The ledger fixture of the engine's tests."""

from tests.engine.conftest import ledger

__all__ = ["ledger"]
