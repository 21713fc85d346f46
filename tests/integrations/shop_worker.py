"""Another service with its own task: `celery -A shop_worker worker`. It does not import the ledger."""

import os

from celery import Celery

app = Celery("shop", broker=os.environ["SHOP_BROKER"], backend=os.environ["SHOP_RESULTS"])
app.conf.task_default_queue = os.environ.get("SHOP_QUEUE", "celery")
app.conf.worker_enable_remote_control = False


@app.task(name="shop.remember")
def remember(*given: object, **named: object) -> list[object]:
    """Return the arguments."""
    return [list(given), named]
