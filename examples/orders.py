"""The table of the shops that use SQLAlchemy alone."""

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The shop's tables."""


class Order(Base):
    """An order that is paid, and the command for its points."""

    __tablename__ = "orders"
    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str]
    amount_minor: Mapped[int]
    task_id: Mapped[str]
