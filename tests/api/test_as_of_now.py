"""Responses about points that are due but not recorded yet."""

from collections.abc import Callable

import pytest

from pointledger.domain.commands import AnyCommand
from tests.api.environment import ApiEnvironment
from tests.due import LATER, ago, earn, freeze
from tests.waiting import wait_until

User = Callable[[], str]


@pytest.fixture
def anna(api: ApiEnvironment, user: User) -> str:
    """A user of whose points 4 have expired, 5 become available and 2 return from a hold."""
    anna = user()
    task_ids = api.ledger.client.enqueue_many(
        [
            earn(anna, 1000, expires_at=LATER),
            freeze(anna, 2, expires_at=ago(2)),
            earn(anna, 5, activates_at=ago(2)),
            earn(anna, 4, expires_at=ago(2)),
        ]
    )
    for task_id in task_ids:
        assert api.ledger.client.wait(task_id, timeout=30).state == "applied"
    return anna


def test_every_query_returns_current_and_recorded_figures(api: ApiEnvironment, anna: str) -> None:
    token = api.issuer.user(anna)
    listed = api.get("/admin/points?page_size=100", api.admin).json()["items"]
    accounts = [
        api.get(f"/points/{anna}", token).json()["data"],
        api.get(f"/points/{anna}/stats", token).json()["data"]["account"],
        next(account for account in listed if account["user_id"] == anna),
    ]
    for account in accounts:
        assert (account["balance"], account["recorded_balance"]) == (1005, 1002)
        assert (account["frozen_balance"], account["recorded_frozen_balance"]) == (0, 2)
        assert (account["pending_balance"], account["recorded_pending_balance"]) == (0, 5)
        assert (account["expired_points"], account["recorded_expired_points"]) == (4, 0)
        assert (account["debt"], account["recorded_debt"], account["version"]) == (0, 0, 4)
    value = api.get(f"/points/{anna}/value", token).json()["data"]
    assert (value["value"], value["balance"], value["recorded_balance"]) == ("10.05", 1005, 1002)
    expiring = api.get(f"/points/{anna}/expiring", token).json()["data"]
    assert (expiring["points"], expiring["recorded_points"]) == (1000, 998)
    tenant = api.get("/admin/points/stats", api.admin).json()["data"]
    assert tenant["totals"]["balance"] - tenant["recorded_totals"]["balance"] == 3
    assert tenant["recorded_outstanding"] - tenant["outstanding"] == 4

    assert api.post(f"/points/{anna}/spend", api.till, {"amount": 1006}).status_code == 409
    assert api.post(f"/points/{anna}/spend", api.till, {"amount": 1005}).status_code == 200


def test_a_lot_without_a_recorded_entry_has_no_id(api: ApiEnvironment, user: User) -> None:
    ben = user()
    commands: list[AnyCommand] = [earn(ben, 10, expires_at=ago(4)), freeze(ben, 10, expires_at=ago(1))]
    *_, task_id = api.ledger.client.enqueue_many(commands)
    wait_until(lambda: api.ledger.client.outcome(task_id).is_final, "the hold is open")
    data = api.get(f"/points/{ben}/expiring", api.issuer.user(ben)).json()["data"]
    assert [(lot["points"], lot["id"], lot["entry_id"]) for lot in data["lots"]] == [(10, None, None)]
    assert (data["points"], data["recorded_points"]) == (10, 0)
    assert api.post(f"/points/{ben}/spend", api.till, {"amount": 10}).status_code == 200
