"""Defines the tables, and the cache of rules in a process."""

import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, UUID

_CACHE_SECONDS = 30.0  # a changed rule is in force in every process after this time

_TEXT, _POINTS, _TIMESTAMP = sa.Text, sa.BigInteger, TIMESTAMP(timezone=True)

metadata = sa.MetaData()

commands = sa.Table(  # an insert here fails for a duplicate delivery
    "commands",
    metadata,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("tenant_id", _TEXT, nullable=False),
    sa.Column("user_id", _TEXT, nullable=False),
    sa.Column("event_type", _TEXT),
    sa.Column("event_id", _TEXT),
    sa.Column("occurred_at", _TIMESTAMP),
    sa.Column("received_at", _TIMESTAMP, nullable=False, server_default=sa.func.now()),
    sa.Column("metadata", JSONB, nullable=False),
    sa.UniqueConstraint("tenant_id", "event_id"),
)

outcomes = sa.Table(
    "outcomes",
    metadata,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("state", _TEXT, nullable=False),
    sa.Column("applied_at", _TIMESTAMP, nullable=False, server_default=sa.func.now()),
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
    sa.Column("updated_at", _TIMESTAMP, nullable=False, server_default=sa.func.now()),
    sa.UniqueConstraint("tenant_id", "user_id"),
    postgresql_with={"fillfactor": 70},  # each entry updates the row, so leave room for HOT updates
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
    sa.Column("expires_at", _TIMESTAMP),
    sa.Column("occurred_at", _TIMESTAMP, nullable=False),
    sa.Column("created_at", _TIMESTAMP, nullable=False, server_default=sa.func.now()),
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
    sa.Column("earned_at", _TIMESTAMP, nullable=False),
    sa.Column("expires_at", _TIMESTAMP),
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

    def points_for(self, fields: dict[str, Any]) -> int:
        """Return the points before the limit."""
        return int(fields[self.field] // self.per * self.points * self.multiplier)


class Rules:
    """A cache of the rules by tenant and event type."""

    def __init__(self) -> None:
        self._cached: dict[tuple[str, str], list[Rule]] = {}
        self._expires_at = 0.0

    def matching(self, connection: sa.Connection, tenant_id: str, event_type: str) -> list[Rule]:
        """Return the rules for this event type."""
        if time.monotonic() >= self._expires_at:
            self._read(connection)
        return self._cached.get((tenant_id, event_type), [])

    def _read(self, connection: sa.Connection) -> None:
        self._cached = {}
        for row in connection.execute(sa.select(rules).order_by(rules.c.id)):
            self._cached.setdefault((row.tenant_id, row.event_type), []).append(Rule(*row))
        self._expires_at = time.monotonic() + _CACHE_SECONDS
