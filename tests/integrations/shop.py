"""A service of somebody else's with a task of its own, `celery -A shop worker`: it knows of no ledger."""

import os

from celery import Celery

app = Celery("shop", broker=os.environ["SHOP_BROKER"], backend=os.environ["SHOP_RESULTS"])
app.conf.task_default_queue = os.environ.get("SHOP_QUEUE", "celery")
app.conf.worker_enable_remote_control = False


@app.task(name="shop.remember")
def remember(*given: object, **named: object) -> list[object]:
    """What it was called with is its result."""
    return [list(given), named]
