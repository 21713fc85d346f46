"""The longest ids fit into every table and index, even if their characters cannot be compressed."""

import random
from typing import Any

from pointledger import Adjust, ApplyRule, Earn, Freeze, Spend, Transfer, Unfreeze, WalletAdjust
from pointledger.domain.values.fields import MAX_ID
from pointledger.observability.verify import verify
from tests.ledger import Ledger

MAX_KEY = 255


def long_id(seed: int) -> str:
    """Return an id of random characters that take four bytes each in UTF-8."""
    chance = random.Random(seed)
    return "".join(chr(chance.randrange(0x20000, 0x2A000)) for _ in range(MAX_ID))


def test_commands_with_the_longest_ids_are_applied_and_found(ledger: Ledger) -> None:
    tenant, anna, ben, boss = (long_id(number) for number in range(4))
    chance = random.Random(4)
    who: dict[str, Any] = {"tenant_id": tenant, "user_id": anna, "actor": boss}
    who["idempotency_key"] = "".join(chr(chance.randrange(33, 127)) for _ in range(MAX_KEY))
    ledger.tenant(tenant, transfer_enabled=True, max_earn_per_day=1_000, default_expiry_days=30, events="all")
    ledger.rule(tenant, name="visit", event_type="visit", points=5, daily_limit=100)
    ledger.apply(Earn(tenant_id=tenant, user_id=ben, amount=1))
    outcomes = ledger.apply(
        Earn(**who, amount=100),
        ApplyRule(**who, event_type="visit", event_id="e" * 255),
        Transfer(**who, to_user_id=ben, amount=10),
        Spend(**who, amount=5),
        Freeze(**who, amount=5),
        Unfreeze(**who, amount=5),
        Adjust(**who, amount=1, reason="r"),
        WalletAdjust(**who, type="deposit", amount="5", reason="r"),
    )
    assert [outcome.state for outcome in outcomes] == ["applied"] * 8
    assert ledger.balance(anna, tenant) == 91
    sent = ledger.client.batch_earn(
        tenant, [(anna, 1), (ben, 1)], idempotency_key=who["idempotency_key"], actor=boss
    )
    ledger.drain()
    assert ledger.client.batch_outcome(sent.batch_id).applied == 2
    records = ledger.client.audit_log(tenant, actor=boss)
    assert {"freeze", "unfreeze", "adjust"} <= {record["kind"] for record in records}
    assert verify(ledger.database).violations == 0
