"""What the gateway tells of what is due and not recorded yet."""

from collections.abc import Callable

import pytest

from pointledger.domain.commands import AnyCommand
from tests.api.served import Served
from tests.due import LATER, ago, earn, freeze
from tests.waiting import wait_until

User = Callable[[], str]


@pytest.fixture
def anna(served: Served, user: User) -> str:
    """Of hers, 4 points have expired, 5 become available and 2 come back from a hold."""
    anna = user()
    task_ids = served.ledger.client.enqueue_many(
        [
            earn(anna, 1000, expires_at=LATER),
            freeze(anna, 2, expires_at=ago(2)),
            earn(anna, 5, activates_at=ago(2)),
            earn(anna, 4, expires_at=ago(2)),
        ]
    )
    for task_id in task_ids:
        assert served.ledger.client.wait(task_id, timeout=30).state == "applied"
    return anna


def test_every_page_tells_what_a_spend_would_find_and_what_is_recorded_beside(
    served: Served, anna: str
) -> None:
    token = served.issuer.user(anna)
    listed = served.get("/admin/points?page_size=100", served.admin).json()["items"]
    asked = [
        served.get(f"/points/{anna}", token).json()["data"],
        served.get(f"/points/{anna}/stats", token).json()["data"]["account"],
        next(account for account in listed if account["user_id"] == anna),
    ]
    for account in asked:
        assert (account["balance"], account["recorded_balance"]) == (1005, 1002)
        assert (account["frozen_balance"], account["recorded_frozen_balance"]) == (0, 2)
        assert (account["pending_balance"], account["recorded_pending_balance"]) == (0, 5)
        assert (account["expired_points"], account["recorded_expired_points"]) == (4, 0)
        assert (account["debt"], account["recorded_debt"], account["version"]) == (0, 0, 4)
    value = served.get(f"/points/{anna}/value", token).json()["data"]
    assert (value["value"], value["balance"], value["recorded_balance"]) == ("10.05", 1005, 1002)
    expiring = served.get(f"/points/{anna}/expiring", token).json()["data"]
    assert (expiring["points"], expiring["recorded_points"]) == (1000, 998)
    tenant = served.get("/admin/points/stats", served.admin).json()["data"]
    assert tenant["totals"]["balance"] - tenant["recorded_totals"]["balance"] == 3
    assert tenant["recorded_outstanding"] - tenant["outstanding"] == 4

    assert served.post(f"/points/{anna}/spend", served.till, {"amount": 1006}).status_code == 409
    assert served.post(f"/points/{anna}/spend", served.till, {"amount": 1005}).status_code == 200


def test_a_lot_that_no_entry_records_yet_is_told_without_an_id(served: Served, user: User) -> None:
    ben = user()
    given: list[AnyCommand] = [earn(ben, 10, expires_at=ago(4)), freeze(ben, 10, expires_at=ago(1))]
    *_, task_id = served.ledger.client.enqueue_many(given)
    wait_until(lambda: served.ledger.client.outcome(task_id).is_final, "the hold is open")
    told = served.get(f"/points/{ben}/expiring", served.issuer.user(ben)).json()["data"]
    assert [(lot["points"], lot["id"], lot["entry_id"]) for lot in told["lots"]] == [(10, None, None)]
    assert (told["points"], told["recorded_points"]) == (10, 0)
    assert served.post(f"/points/{ben}/spend", served.till, {"amount": 10}).status_code == 200
