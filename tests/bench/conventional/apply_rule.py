"""Applies a command and all of its effects in one transaction."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from tests.bench.conventional.tables import (
    Rule,
    Rules,
    accounts,
    commands,
    daily_usage,
    entries,
    lots,
    outcomes,
)


@dataclass(frozen=True, slots=True)
class Command:
    """An event for which the tenant's rules grant points."""

    id: UUID
    tenant_id: str
    user_id: str
    event_type: str
    event_id: str
    occurred_at: datetime
    metadata: dict[str, Any]


def apply_rule(connection: sa.Connection, command: Command, rules: Rules) -> None:
    """Apply the command unless it or its event was applied before. The caller commits."""
    first = is_first(
        connection,
        command.id,
        command.tenant_id,
        command.user_id,
        command.metadata,
        event=(command.event_type, command.event_id, command.occurred_at),
    )
    if not first:
        return
    account = lock_account(connection, command.tenant_id, command.user_id)
    balance, version = account.balance, account.version
    for rule in rules.matching(connection, command.tenant_id, command.event_type):
        points = _within_limit(connection, account.id, rule, command)
        if points:
            balance, version = balance + points, version + 1
            _grant(connection, account.id, rule, command, points, balance, version)
    earned = balance - account.balance
    if earned:
        connection.execute(
            sa.update(accounts)
            .where(accounts.c.id == account.id)
            .values(
                balance=balance,
                total_earned=accounts.c.total_earned + earned,
                version=version,
                updated_at=sa.func.now(),
            )
        )
    data = {"points_earned": earned, "balance": balance}
    connection.execute(sa.insert(outcomes).values(id=command.id, state="applied", data=data))


def is_first(
    connection: sa.Connection,
    command_id: UUID,
    tenant_id: str,
    user_id: str,
    content: dict[str, Any],
    event: tuple[str | None, str | None, datetime | None] = (None, None, None),
) -> bool:
    """Record the command. Return False if it is a duplicate, by its id or its event.

    Duplicates occur because Celery delivers at least once, and producers send again.
    """
    event_type, event_id, occurred_at = event
    written = connection.execute(
        insert(commands)
        .values(
            id=command_id,
            tenant_id=tenant_id,
            user_id=user_id,
            event_type=event_type,
            event_id=event_id,
            occurred_at=occurred_at,
            metadata=content,
        )
        .on_conflict_do_nothing()
        .returning(commands.c.id)
    )
    return written.first() is not None


def lock_account(connection: sa.Connection, tenant_id: str, user_id: str) -> Any:
    """Lock and return the user's row. The first command creates it."""
    query = (
        sa.select(accounts.c.id, accounts.c.balance, accounts.c.version)
        .where(accounts.c.tenant_id == tenant_id, accounts.c.user_id == user_id)
        .with_for_update()
    )
    found = connection.execute(query).first()
    if found is None:
        new = insert(accounts).values(tenant_id=tenant_id, user_id=user_id)
        connection.execute(new.on_conflict_do_nothing())
        found = connection.execute(query).one()
    return found


def _within_limit(connection: sa.Connection, account_id: int, rule: Rule, command: Command) -> int:
    """Return the points that the rule's daily limit allows, and count them as used.

    The caller has locked the account's row.
    """
    points = rule.points_for(command.metadata)
    if rule.daily_limit is None:
        return points
    day = command.occurred_at.date()
    used = connection.scalar(
        sa.select(daily_usage.c.points).where(
            daily_usage.c.account_id == account_id,
            daily_usage.c.rule_id == rule.id,
            daily_usage.c.day == day,
        )
    )
    points = min(points, rule.daily_limit - (used or 0))
    if points:
        usage = insert(daily_usage).values(account_id=account_id, rule_id=rule.id, day=day, points=points)
        connection.execute(
            usage.on_conflict_do_update(
                index_elements=["account_id", "rule_id", "day"],
                set_={"points": daily_usage.c.points + usage.excluded.points},
            )
        )
    return points


def _grant(
    connection: sa.Connection,
    account_id: int,
    rule: Rule,
    command: Command,
    points: int,
    balance: int,
    version: int,
) -> None:
    """Write the entry and its lot."""
    entry_id = uuid4()
    expires_at = command.occurred_at + timedelta(rule.expiry_days) if rule.expiry_days else None
    connection.execute(
        sa.insert(entries).values(
            id=entry_id,
            account_id=account_id,
            seq=version,
            command_id=command.id,
            type="earn",
            delta=points,
            balance_after=balance,
            rule_id=rule.id,
            expires_at=expires_at,
            occurred_at=command.occurred_at,
        )
    )
    connection.execute(
        sa.insert(lots).values(
            id=uuid4(),
            account_id=account_id,
            entry_id=entry_id,
            amount=points,
            remaining=points,
            earned_at=command.occurred_at,
            expires_at=expires_at,
        )
    )
