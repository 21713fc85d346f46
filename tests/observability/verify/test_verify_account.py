"""Verification of one account, with the invariants that `verify` checks for all."""

import pytest

from pointledger.errors import AccountMissing, TenantMissing
from pointledger.observability.verify import INVARIANTS, verify_account
from tests.ledger import Ledger
from tests.observability.verify.corruption import corrupt


def broken(ledger: Ledger, user_id: str, tenant_id: str = "shop") -> list[str]:
    found = verify_account(ledger.database, tenant_id, user_id)
    assert found.is_sound == (not any(finding.violations for finding in found.findings))
    return [finding.invariant.id for finding in found.findings if finding.violations]


def test_every_account_of_the_history_is_sound(eventful: Ledger) -> None:
    for tenant_id, user_id, version in eventful.rows("SELECT tenant_id, user_id, version FROM accounts"):
        assert broken(eventful, user_id, tenant_id) == []
        assert verify_account(eventful.database, tenant_id, user_id).entries == version


def test_a_corrupt_account_does_not_affect_others(eventful: Ledger) -> None:
    corrupt(
        eventful,
        """UPDATE entries SET balance_after = balance_after + 1
           WHERE seq = 2 AND account_id = (SELECT id FROM accounts WHERE user_id = 'rita');
           UPDATE wallets SET version = version + 1 WHERE user_id = 'mia';
           UPDATE lots SET remaining = remaining + 1 WHERE remaining > 0 AND remaining < amount
           AND account_id = (SELECT id FROM accounts WHERE user_id = 'ben')""",
    )
    assert "I3a" in broken(eventful, "rita")
    assert broken(eventful, "mia", "bank") == ["I19a"]
    assert "I4a" in broken(eventful, "ben")
    assert broken(eventful, "emil") == []


def test_it_checks_the_invariants_of_verify_and_returns_json(eventful: Ledger) -> None:
    found = verify_account(eventful.database, "bank", "mia").as_json()
    known = {invariant.id: invariant.name for invariant in INVARIANTS}
    checked = {invariant["id"]: invariant["name"] for invariant in found["invariants"]}
    assert checked.items() <= known.items()
    assert {"I2", "I3a", "I3b", "I4a", "I14", "I19a", "I19b"} <= set(checked)
    assert (found["user_id"], found["is_sound"]) == ("mia", True)


def test_a_missing_tenant_or_account_raises(ledger: Ledger) -> None:
    with pytest.raises(TenantMissing):
        verify_account(ledger.database, "shop", "anna")
    ledger.tenant()
    with pytest.raises(AccountMissing):
        verify_account(ledger.database, "shop", "anna")
