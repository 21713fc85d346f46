"""A shop in Flask: `gunicorn --preload --bind 127.0.0.1:8010 examples.flask.shop:app`."""

from flask import Flask, request
from flask.typing import ResponseReturnValue
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from examples.card import CardDeclined, charge
from examples.login import shop_url
from pointledger import ApplyRule
from pointledger.frameworks.flask import Points


class Base(DeclarativeBase):
    """The shop's tables."""


app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = shop_url("shop_flask")
db = SQLAlchemy(app, model_class=Base)
points = Points(app, session=db.session)


class Order(db.Model):  # type: ignore[name-defined]  # it is made at run time
    """An order that is paid, and the command for its points."""

    __tablename__ = "orders"
    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str]
    amount_minor: Mapped[int]
    task_id: Mapped[str]


@app.post("/orders/<order_id>/pay")
def pay(order_id: str) -> ResponseReturnValue:
    """Mark an order as paid and grant its points: both, or neither."""
    given = request.get_json()
    task_id = points.enqueue(
        ApplyRule(
            tenant_id="shop",
            user_id=given["user_id"],
            event_type="basket.paid",
            event_id=order_id,
            metadata={"amount_minor": given["amount_minor"]},
        )
    )
    order = Order(id=order_id, user_id=given["user_id"], amount_minor=given["amount_minor"], task_id=task_id)
    db.session.add(order)
    charge(given["card"], order.amount_minor, key=order_id)
    db.session.commit()
    return {"task_id": task_id}


@app.errorhandler(CardDeclined)
def declined(_: CardDeclined) -> ResponseReturnValue:
    """Flask-SQLAlchemy rolls back what the request has not committed."""
    return {"error": "the card was declined"}, 402


@app.get("/orders/<order_id>")
def show(order_id: str) -> ResponseReturnValue:
    """Show an order and what it earned."""
    task_id = db.get_or_404(Order, order_id).task_id
    db.session.close()  # so that it holds no connection meanwhile
    outcome = points.client.wait(task_id, timeout=10)
    return {
        "id": order_id,
        "state": outcome.state,
        "points_earned": (outcome.data or {}).get("points_earned"),
    }


with app.app_context():
    db.create_all()
    db.engine.dispose()  # gunicorn forks now, and processes cannot share connections
