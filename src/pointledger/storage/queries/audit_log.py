"""Searches the audit log. Reads only."""

from typing import Any, Literal, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.ledger.outcome_data import complete
from pointledger.storage.database import rows
from pointledger.storage.queries.rows import shown

_FOUND = """
FROM acts a LEFT JOIN journal j ON j.id = a.command_id
WHERE a.tenant_id = %(tenant)s
  AND (%(actor)s::text IS NULL OR coalesce(a.actor, j.actor) = %(actor)s)
  AND (%(kind)s::text IS NULL OR a.kind = %(kind)s)
  AND (%(state)s::text IS NULL OR a.state = %(state)s) AND (%(user)s::text IS NULL OR j.user_id = %(user)s)"""


_ACTS = f"""
SELECT a.id, a.tenant_id, a.kind, coalesce(a.actor, j.actor) AS actor,
       CASE WHEN a.kind = j.kind THEN j.payload ->> 'reason' ELSE a.reason END AS reason,
       j.user_id, a.command_id, a.state, a.refusal, a.before, a.after,
       encode(coalesce(a.request_hash, j.fingerprint), 'hex') AS request_hash, a.recorded_at
{_FOUND}
  AND (%(before)s::uuid IS NULL OR (a.recorded_at, a.id) <
       (SELECT b.recorded_at, b.id FROM acts b WHERE b.tenant_id = a.tenant_id AND b.id = %(before)s))
ORDER BY a.recorded_at DESC, a.id DESC LIMIT %(limit)s OFFSET %(skip)s"""  # noqa: S608  (a constant of ours)


class Filter(NamedTuple):
    """Which acts: about this user, by this actor, of this kind, with this outcome; None: whichever."""

    user: str | None = None
    actor: str | None = None
    kind: str | None = None
    state: Literal["applied", "refused"] | None = None


def acts(
    connection: sa.Connection,
    tenant_id: str,
    which: Filter,
    *,
    before: UUID | None = None,
    limit: int,
    skip: int = 0,
) -> list[dict[str, Any]]:
    """A tenant's acts, the latest first: those recorded before the one named, if one is."""
    asked = which._asdict() | {"before": before, "limit": limit, "skip": skip}
    found = [shown(row) for row in rows(connection, _ACTS, tenant=tenant_id, **asked)]
    return [act | {"before": complete(act["before"]), "after": complete(act["after"])} for act in found]


def count(connection: sa.Connection, tenant_id: str, which: Filter) -> int:
    """How many acts there are of these."""
    counting = f"SELECT count(*) {_FOUND}"
    return int(rows(connection, counting, tenant=tenant_id, **which._asdict())[0][0])
