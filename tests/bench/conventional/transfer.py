"""Transfers points with their lots from one user to another, in one transaction."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from tests.bench.conventional.apply_rule import is_first, lock_account
from tests.bench.conventional.tables import accounts, entries, lots, outcomes


@dataclass(frozen=True, slots=True)
class Transfer:
    """A command to transfer points between two users."""

    id: UUID
    tenant_id: str
    user_id: str
    to_user_id: str
    amount: int


def transfer(connection: sa.Connection, command: Transfer) -> None:
    """Apply the command unless it was applied before. The caller commits."""
    content = {"to_user_id": command.to_user_id, "amount": command.amount}
    if not is_first(connection, command.id, command.tenant_id, command.user_id, content):
        return
    # Accounts are locked in sorted order, so two opposite transfers cannot deadlock.
    found = {
        user_id: lock_account(connection, command.tenant_id, user_id)
        for user_id in sorted((command.user_id, command.to_user_id))
    }
    source, destination = found[command.user_id], found[command.to_user_id]
    if source.balance < command.amount:
        connection.execute(sa.insert(outcomes).values(id=command.id, state="refused", data={}))
        return
    out_id, in_id = uuid4(), uuid4()
    balance = _post(connection, out_id, command, source, "transfer_out", -command.amount)
    _post(connection, in_id, command, destination, "transfer_in", command.amount)
    _move_lots(connection, command.amount, source.id, destination.id, in_id)
    connection.execute(sa.insert(outcomes).values(id=command.id, state="applied", data={"balance": balance}))


def _post(
    connection: sa.Connection, entry_id: UUID, command: Transfer, account: Any, kind: str, delta: int
) -> int:
    """Write the entry, update the account, and return its new balance."""
    balance: int = account.balance + delta
    version = account.version + 1
    connection.execute(
        sa.insert(entries).values(
            id=entry_id,
            account_id=account.id,
            seq=version,
            command_id=command.id,
            type=kind,
            delta=delta,
            balance_after=balance,
            occurred_at=sa.func.now(),
        )
    )
    connection.execute(
        sa.update(accounts)
        .where(accounts.c.id == account.id)
        .values(balance=balance, version=version, updated_at=sa.func.now())
    )
    return balance


def _move_lots(
    connection: sa.Connection, amount: int, source_id: int, destination_id: int, entry_id: UUID
) -> None:
    """Take the amount from the lots that expire first. The new lots keep their age and expiry."""
    left = amount
    open_lots = (
        sa.select(lots)
        .where(lots.c.account_id == source_id, lots.c.remaining > sa.text("0"))
        .order_by(lots.c.expires_at, lots.c.id)
    )
    for lot in connection.execute(open_lots):
        share = min(left, lot.remaining)
        connection.execute(
            sa.update(lots).where(lots.c.id == lot.id).values(remaining=lots.c.remaining - share)
        )
        connection.execute(
            sa.insert(lots).values(
                id=uuid4(),
                account_id=destination_id,
                entry_id=entry_id,
                amount=share,
                remaining=share,
                earned_at=lot.earned_at,
                expires_at=lot.expires_at,
            )
        )
        left -= share
        if not left:
            return
