"""A Celery app whose module creates a client: `celery -A shop_tasks worker`."""

import os

from celery import Celery

from pointledger import Earn, PointsClient

app = Celery("shop_tasks", broker=os.environ["SHOP_BROKER"], backend=os.environ["SHOP_BROKER"])
app.conf.broker_transport_options = {"global_keyprefix": "shop:"}

client = PointsClient.connect()


@app.task
def grant(user_id: str) -> tuple[int, str]:
    """Grant a point, and return the process id and the outcome's state."""
    task_id = client.enqueue(Earn(tenant_id="shop", user_id=user_id, amount=1))
    return os.getpid(), client.wait(task_id, timeout=30).state


if __name__ != "__main__":
    assert grant("the-master")[1] == "applied"  # opens every kind of connection before the fork
