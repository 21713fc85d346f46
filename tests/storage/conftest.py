"""A ledger, as the engine's tests have it."""

from tests.engine.conftest import ledger

__all__ = ["ledger"]
