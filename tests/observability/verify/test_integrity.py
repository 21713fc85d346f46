"""The integrity of one account: what the audit asks of all, asked of one."""

import pytest

from pointledger.errors import AccountMissing, TenantMissing
from pointledger.observability.verify import INVARIANTS, integrity
from tests.ledger import Ledger
from tests.observability.verify.tampering import tamper


def broken(ledger: Ledger, user_id: str, tenant_id: str = "shop") -> list[str]:
    found = integrity(ledger.database, tenant_id, user_id)
    assert found.is_sound == (not any(finding.violations for finding in found.findings))
    return [finding.invariant.id for finding in found.findings if finding.violations]


def test_every_account_of_a_story_is_sound(eventful: Ledger) -> None:
    for tenant_id, user_id, version in eventful.rows("SELECT tenant_id, user_id, version FROM accounts"):
        assert broken(eventful, user_id, tenant_id) == []
        assert integrity(eventful.database, tenant_id, user_id).entries == version


def test_what_is_wrong_with_one_account_is_not_found_on_another(eventful: Ledger) -> None:
    tamper(
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


def test_it_asks_the_audits_own_questions_and_shows_them_as_json(eventful: Ledger) -> None:
    found = integrity(eventful.database, "bank", "mia").as_json()
    known = {invariant.id: invariant.name for invariant in INVARIANTS}
    assert {asked["id"]: asked["name"] for asked in found["invariants"]}.items() <= known.items()
    assert {"I2", "I3a", "I3b", "I4a", "I14", "I19a", "I19b"} <= {
        asked["id"] for asked in found["invariants"]
    }
    assert (found["user_id"], found["is_sound"]) == ("mia", True)


def test_of_nobody_there_is_no_integrity(ledger: Ledger) -> None:
    with pytest.raises(TenantMissing):
        integrity(ledger.database, "shop", "anna")
    ledger.tenant()
    with pytest.raises(AccountMissing):
        integrity(ledger.database, "shop", "anna")
