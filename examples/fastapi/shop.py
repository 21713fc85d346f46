"""A shop in FastAPI: `uvicorn --port 8010 examples.fastapi.shop:app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from examples.card import CardDeclined, charge
from examples.login import shop_url
from examples.orders import Base, Order
from pointledger import ApplyRule, AsyncPointsClient
from pointledger.frameworks.fastapi import Points

engine = create_async_engine(shop_url("shop_fastapi"))
sessions = async_sessionmaker(engine, expire_on_commit=False)
points = Points()


class Payment(BaseModel):
    """How an order is paid."""

    user_id: str
    amount_minor: int
    card: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Make the tables, and open the client."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with points.lifespan(app):
        yield
    await engine.dispose()


async def opened_session() -> AsyncIterator[AsyncSession]:
    """Open a session for the request. What it has not committed is rolled back."""
    async with sessions() as session:
        yield session


app = FastAPI(lifespan=lifespan)
Client = Annotated[AsyncPointsClient, Depends(points)]
Session = Annotated[AsyncSession, Depends(opened_session)]


@app.post("/orders/{order_id}/pay")
async def pay(order_id: str, payment: Payment, session: Session, client: Client) -> dict[str, str]:
    """Mark an order as paid and grant its points: both, or neither."""
    user_id, amount_minor = payment.user_id, payment.amount_minor
    try:
        async with session.begin():
            command = ApplyRule(
                tenant_id="shop",
                user_id=user_id,
                event_type="basket.paid",
                event_id=order_id,
                metadata={"amount_minor": amount_minor},
            )
            task_id = await client.enqueue(command, session)
            session.add(Order(id=order_id, user_id=user_id, amount_minor=amount_minor, task_id=task_id))
            charge(payment.card, amount_minor, key=order_id)
    except CardDeclined:
        raise HTTPException(402, "the card was declined") from None
    return {"task_id": task_id}


@app.get("/orders/{order_id}")
async def show(order_id: str, session: Session, client: Client) -> dict[str, Any]:
    """Show an order and what it earned."""
    order = await session.get(Order, order_id)
    await session.close()  # a request that waits must not keep a connection
    if order is None:
        raise HTTPException(404)
    outcome = await client.wait(order.task_id, timeout=10)
    earned = (outcome.data or {}).get("points_earned")
    return {"id": order.id, "state": outcome.state, "points_earned": earned}
