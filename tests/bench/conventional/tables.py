"""The tables, and the rules that a process keeps for a while."""

import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, UUID

_RULES_KEPT_SECONDS = 30.0  # a rule that changed is in force everywhere after that

_TEXT, _POINTS, _MOMENT = sa.Text, sa.BigInteger, TIMESTAMP(timezone=True)

metadata = sa.MetaData()

commands = sa.Table(  # that a delivery is the first is known by inserting here
    "commands",
    metadata,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("tenant_id", _TEXT, nullable=False),
    sa.Column("user_id", _TEXT, nullable=False),
    sa.Column("event_type", _TEXT),
    sa.Column("event_id", _TEXT),
    sa.Column("occurred_at", _MOMENT),
    sa.Column("received_at", _MOMENT, nullable=False, server_default=sa.func.now()),
    sa.Column("metadata", JSONB, nullable=False),
    sa.UniqueConstraint("tenant_id", "event_id"),
)

outcomes = sa.Table(
    "outcomes",
    metadata,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("state", _TEXT, nullable=False),
    sa.Column("applied_at", _MOMENT, nullable=False, server_default=sa.func.now()),
    sa.Column("data", JSONB, nullable=False),
)

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("id", _POINTS, sa.Identity(), primary_key=True),
    sa.Column("tenant_id", _TEXT, nullable=False),
    sa.Column("user_id", _TEXT, nullable=False),
    sa.Column("balance", _POINTS, sa.CheckConstraint("balance >= 0"), nullable=False, server_default="0"),
    sa.Column("total_earned", _POINTS, nullable=False, server_default="0"),
    sa.Column("version", _POINTS, nullable=False, server_default="0"),
    sa.Column("updated_at", _MOMENT, nullable=False, server_default=sa.func.now()),
    sa.UniqueConstraint("tenant_id", "user_id"),
    postgresql_with={"fillfactor": 70},  # updated with every entry: leave room for HOT updates
)

entries = sa.Table(
    "entries",
    metadata,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("account_id", _POINTS, nullable=False),
    sa.Column("seq", _POINTS, nullable=False),
    sa.Column("command_id", UUID, nullable=False),
    sa.Column("type", _TEXT, nullable=False),
    sa.Column("delta", _POINTS, nullable=False),
    sa.Column("balance_after", _POINTS, nullable=False),
    sa.Column("rule_id", _POINTS),
    sa.Column("expires_at", _MOMENT),
    sa.Column("occurred_at", _MOMENT, nullable=False),
    sa.Column("created_at", _MOMENT, nullable=False, server_default=sa.func.now()),
    sa.UniqueConstraint("account_id", "seq"),
)

lots = sa.Table(
    "lots",
    metadata,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("account_id", _POINTS, nullable=False),
    sa.Column("entry_id", UUID, nullable=False),
    sa.Column("amount", _POINTS, nullable=False),
    sa.Column("remaining", _POINTS, sa.CheckConstraint("remaining >= 0"), nullable=False),
    sa.Column("earned_at", _MOMENT, nullable=False),
    sa.Column("expires_at", _MOMENT),
)
sa.Index(
    "lots_to_consume", lots.c.account_id, lots.c.expires_at, postgresql_where=lots.c.remaining > sa.text("0")
)

daily_usage = sa.Table(
    "daily_usage",
    metadata,
    sa.Column("account_id", _POINTS, primary_key=True),
    sa.Column("rule_id", _POINTS, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("points", _POINTS, nullable=False),
)

rules = sa.Table(
    "rules",
    metadata,
    sa.Column("id", _POINTS, sa.Identity(), primary_key=True),
    sa.Column("tenant_id", _TEXT, nullable=False),
    sa.Column("event_type", _TEXT, nullable=False),
    sa.Column("field", _TEXT, nullable=False),
    sa.Column("per", _POINTS, nullable=False),
    sa.Column("points", _POINTS, nullable=False),
    sa.Column("multiplier", sa.Numeric, nullable=False),
    sa.Column("daily_limit", _POINTS),
    sa.Column("expiry_days", sa.Integer),
    sa.UniqueConstraint("tenant_id", "event_type", "id"),
)


@dataclass(frozen=True, slots=True)
class Rule:
    """`points` for each whole `per` of a metadata field, times `multiplier`, rounded down."""

    id: int
    tenant_id: str
    event_type: str
    field: str
    per: int
    points: int
    multiplier: Decimal
    daily_limit: int | None
    expiry_days: int | None

    def wanted(self, fields: dict[str, Any]) -> int:
        """Points before the limit."""
        return int(fields[self.field] // self.per * self.points * self.multiplier)


class Rules:
    """The rules by tenant and event type, read again when what is kept is old."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], list[Rule]] = {}
        self._old_from = 0.0

    def matching(self, connection: sa.Connection, tenant_id: str, event_type: str) -> list[Rule]:
        """Those that an event of this type sets off."""
        if time.monotonic() >= self._old_from:
            self._read(connection)
        return self._kept.get((tenant_id, event_type), [])

    def _read(self, connection: sa.Connection) -> None:
        self._kept = {}
        for row in connection.execute(sa.select(rules).order_by(rules.c.id)):
            self._kept.setdefault((row.tenant_id, row.event_type), []).append(Rule(*row))
        self._old_from = time.monotonic() + _RULES_KEPT_SECONDS
