"""The expiry of points depends on the moment and the policy, not on what was asked before."""

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from pointledger.domain.program.expiry_policy import Expiry
from pointledger.domain.program.tenant import tenant_from

_BERLIN: dict[str, Any] = {"tenant_id": "shop", "timezone": "Europe/Berlin", "default_expiry_days": 30}


def test_each_policy_and_each_moment_has_its_own_expiry_in_any_order_of_questions() -> None:
    noon = datetime(2025, 3, 29, 12, tzinfo=UTC)
    moments = [noon, noon + timedelta(hours=14), noon + timedelta(microseconds=1)]
    policies = [None, Expiry(mode="rolling", days=1), Expiry(mode="rolling", days=1, round="end_of_month")]
    by_moment = list(product(moments, policies))
    by_policy = [(moment, policy) for policy, moment in product(policies, moments)]
    tenant = tenant_from(_BERLIN)
    for moment, policy in by_moment + by_policy:
        assert tenant.expires_at(moment, policy) == tenant_from(_BERLIN).expires_at(moment, policy)
    assert tenant.expires_at(noon, policies[1]) == datetime(2025, 3, 30, 11, tzinfo=UTC)  # the clocks changed
