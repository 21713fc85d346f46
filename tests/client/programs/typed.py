"""A service's program for type checkers, which is never run."""

from pointledger import Earn, Outcome, PointsClient
from pointledger.errors import DatabaseAway


def reward(client: PointsClient, user_id: str) -> int:
    try:
        task_id: str = client.enqueue(Earn(tenant_id="shop", user_id=user_id, amount=50))
        outcome: Outcome = client.wait(task_id, timeout=60)
    except DatabaseAway as error:
        maybe: bool = error.maybe_done
        return int(maybe)
    return 0 if outcome.data is None else int(outcome.data["balance"])


with PointsClient.connect() as opened:
    print(reward(opened, "anna"))
