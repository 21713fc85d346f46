"""A shop whose payments are Celery tasks: `celery -A examples.celery.shop worker`."""

import os

from celery import Celery, signals
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from examples.card import charge
from examples.login import shop_url
from examples.orders import Base, Order
from pointledger import ApplyRule
from pointledger.errors import AcceptanceBusy, BacklogFull, DatabaseAway
from pointledger.frameworks.celery import Points

app = Celery("shop", broker=os.environ["POINTLEDGER_REDIS_URL"], backend=os.environ["POINTLEDGER_REDIS_URL"])
app.conf.update(task_default_queue="shop", task_acks_late=True)
points = Points(app)

engine = create_engine(shop_url("shop_celery"))
Session = sessionmaker(engine)


@app.task(autoretry_for=(DatabaseAway, AcceptanceBusy, BacklogFull), retry_backoff=True, max_retries=5)
def pay(order_id: str, user_id: str, amount_minor: int, card: str) -> str:
    """Mark an order as paid and grant its points: both, or neither. Return the id of the command."""
    with Session.begin() as session:
        task_id = points.client.enqueue(
            ApplyRule(
                tenant_id="shop",
                user_id=user_id,
                event_type="basket.paid",
                event_id=order_id,  # a task that is delivered twice grants once
                metadata={"amount_minor": amount_minor},
            ),
            session,
        )
        session.merge(Order(id=order_id, user_id=user_id, amount_minor=amount_minor, task_id=task_id))
        charge(card, amount_minor, key=order_id)
    return task_id


@app.task
def points_of(order_id: str) -> int | None:
    """Return what an order earned, or None if it is not paid."""
    with Session() as session:
        order = session.get(Order, order_id)
    if order is None:
        return None
    outcome = points.client.wait(order.task_id, timeout=10)
    return (outcome.data or {}).get("points_earned")


@signals.worker_init.connect
def prepare(**_: object) -> None:
    """Make the tables, before the pool forks: processes cannot share connections."""
    Base.metadata.create_all(engine)
    engine.dispose()
