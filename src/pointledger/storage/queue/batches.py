"""Batches: many commands that one request enqueues. The ids of the commands follow from the batch's row."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.storage.database import rows, run


class Batch(NamedTuple):
    """A batch as it was accepted; `accepted_at` is None before that."""

    id: UUID
    tenant_id: str
    fingerprint: bytes
    size: int
    accepted_at: datetime | None = None


_NOTE = """
INSERT INTO batches (id, tenant_id, actor, idempotency_key, fingerprint, size)
VALUES (%(id)s, %(tenant)s, %(actor)s, %(key)s, %(fingerprint)s, %(size)s)
ON CONFLICT (tenant_id, actor, idempotency_key) DO NOTHING"""


def note(
    connection: sa.Connection,
    batch_id: UUID,
    *,
    tenant_id: str,
    actor: str,
    key: str,
    fingerprint: bytes,
    size: int,
) -> bool:
    """Record a batch unless its key is in use, and return whether it is new.

    It waits for an open transaction that records the same key.
    """
    written = run(
        connection,
        _NOTE,
        id=batch_id,
        tenant=tenant_id,
        actor=actor,
        key=key,
        fingerprint=fingerprint,
        size=size,
    )
    return bool(written)


_BATCH = "SELECT id, tenant_id, fingerprint, size, accepted_at FROM batches "


def first(connection: sa.Connection, tenant_id: str, actor: str, key: str) -> Batch:
    """Return the batch that holds the key.

    It is a separate statement after `note`, so it sees what another transaction has just committed.
    """
    where = "WHERE tenant_id = %(tenant)s AND actor = %(actor)s AND idempotency_key = %(key)s"
    return Batch(*rows(connection, _BATCH + where, tenant=tenant_id, actor=actor, key=key)[0])


def batch(connection: sa.Connection, batch_id: UUID) -> Batch | None:
    """Return the batch with this id."""
    found = rows(connection, _BATCH + "WHERE id = %(id)s", id=batch_id)
    return Batch(*found[0]) if found else None
