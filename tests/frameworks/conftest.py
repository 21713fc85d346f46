"""Provides the ledger, and an environment that names other servers than the framework's settings."""

from collections.abc import Iterator

import pytest

from pointledger.settings import Settings
from tests.ledger import Ledger


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        opened.tenant()
        yield opened


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment name servers that do not answer, so that only the framework's settings help."""
    for name in ("DATABASE", "OWNER", "REDIS"):
        monkeypatch.setenv(f"POINTLEDGER_{name}_URL", "postgresql://127.0.0.1:1/elsewhere")
