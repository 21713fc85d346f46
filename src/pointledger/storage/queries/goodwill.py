"""Sums up the goodwill that a person has given, and lets one gift of a person be counted at a time."""

from datetime import datetime

import sqlalchemy as sa

from pointledger.storage.database import rows

# What is accepted counts, because it will be applied; also a dead command, which can be retried. The index
# `journal_goodwill` has the first two conditions word for word.
_GIVEN = """
SELECT coalesce(sum((j.payload ->> 'amount')::bigint), 0) AS points
FROM journal j LEFT JOIN outcomes o ON o.id = j.id
WHERE j.kind = 'refund' AND starts_with(j.actor, 'person:')
  AND j.tenant_id = %(tenant)s AND j.actor = %(actor)s AND j.accepted_at >= %(since)s
  AND j.payload ->> 'related_id' IS NULL
  AND j.idempotency_key IS DISTINCT FROM %(key)s AND o.state IS DISTINCT FROM 'refused'"""


def given_since(
    connection: sa.Connection, tenant_id: str, actor: str, since: datetime, but_key: str | None
) -> int:
    """Return the points that the person gave since a moment, without the gift of this idempotency key."""
    found = rows(connection, _GIVEN, tenant=tenant_id, actor=actor, since=since, key=but_key)
    return int(found[0].points)


def lock(connection: sa.Connection, tenant_id: str, actor: str) -> None:
    """Wait until no other transaction gives goodwill of this person, until the transaction ends."""
    about = "SELECT pg_advisory_xact_lock(hashtextextended(%(tenant)s || ' ' || %(actor)s, 2))"
    rows(connection, about, tenant=tenant_id, actor=actor)
