"""Records each change of a lot's expiry, in order."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.ledger.book import Book
from pointledger.domain.program.policy_expiry import DatedLot
from pointledger.storage.copy import copy
from pointledger.storage.database import rows
from pointledger.storage.pipelines import send_change

CHANGE = (
    "tenant_id", "lot_id", "nth", "account_id", "command_id", "cause", "was", "becomes", "after_seq",
    "recorded_at",
)  # fmt: skip

_MOVE = """
UPDATE lots SET expires_at = new.expires_at, expiry_changes = new.changes
FROM unnest(%(tenants)b::text[], %(ids)b::uuid[], %(expires)b::timestamptz[], %(changes)b::int4[])
     AS new (tenant_id, id, expires_at, changes)
WHERE lots.tenant_id = new.tenant_id COLLATE "C" AND lots.id = new.id"""


def save_expiry_changes(connection: sa.Connection, book: Book) -> None:
    """Write the changes; call it after new lots are saved, because the batch may change those too."""
    if not book.expiry_changes:
        return
    lines = [
        (
            change.lot.tenant_id, change.lot.id, change.nth, change.lot.account_id, change.command_id,
            change.cause, change.was, change.becomes, change.after_seq, change.recorded_at,
        )
        for change in book.expiry_changes
    ]  # fmt: skip
    copy(connection, "expiry_changes", CHANGE, lines)
    lots = list({change.lot.id: change.lot for change in book.expiry_changes}.values())
    send_change(
        connection,
        _MOVE,
        len(lots),
        tenants=[lot.tenant_id for lot in lots],
        ids=[lot.id for lot in lots],
        expires=[lot.expires_at for lot in lots],
        changes=[lot.expiry_changes for lot in lots],
    )


def expired_then(lot: str, seq: str) -> str:
    """Return SQL for a lot's expiry at the time of its account's entry `seq`; both arguments are constants.

    The first later change has the expiry before it. It is in an array because that expiry may be null
    (never).
    """
    return f"""CASE WHEN {lot}.expiry_changes = 0 THEN {lot}.expires_at ELSE (coalesce(
        (SELECT ARRAY[c.was] FROM expiry_changes c
         WHERE c.tenant_id = {lot}.tenant_id AND c.lot_id = {lot}.id AND c.after_seq >= {seq}
         ORDER BY c.nth LIMIT 1), ARRAY[{lot}.expires_at]))[1] END"""  # noqa: S608  (constants only)


# The journal has the command's own expiry, if any, and the end of its pending time. A policy did not set the
# expiry of lots that came by grace or that an administrator extended.
_DATED = """
SELECT a.user_id, l.id, l.expires_at, l.expiry_changes, l.remaining + l.frozen AS points,
       o.rule_id, o.rule_version, o.occurred_at,
       j.payload ->> 'activates_at' AS activates_at
FROM (SELECT tenant_id, id, user_id FROM accounts
      WHERE tenant_id = %(tenant)s AND user_id > %(after)s AND status <> 'closed'
      ORDER BY user_id LIMIT %(most)s) AS a
CROSS JOIN LATERAL (
    SELECT * FROM lots WHERE tenant_id = a.tenant_id AND account_id = a.id AND state = 'active'
    UNION ALL
    SELECT * FROM lots WHERE tenant_id = a.tenant_id AND account_id = a.id AND state = 'pending') AS l
JOIN entries o ON o.tenant_id = l.tenant_id AND o.id = l.origin_id
JOIN entries e ON e.tenant_id = l.tenant_id AND e.id = l.entry_id
LEFT JOIN journal j ON j.id = o.command_id
WHERE (o.type, o.subtype)
      IN (('earn', 'rule'), ('earn', 'manual'), ('refund', 'goodwill'), ('adjust', 'admin'))
  AND (e.id = o.id OR e.subtype = 'transfer_in') AND j.payload ->> 'expires_at' IS NULL
  AND NOT (l.expiry_changes > 0 AND EXISTS (
      SELECT FROM expiry_changes c
      WHERE c.tenant_id = l.tenant_id AND c.lot_id = l.id AND c.cause = 'extend'))
ORDER BY a.user_id, l.seq, l.place, l.id"""


def users_after(connection: sa.Connection, tenant_id: str, after: str, most: int) -> list[str]:
    """Return a page of the users with an account that is not closed."""
    found = rows(
        connection,
        """SELECT user_id FROM accounts WHERE tenant_id = %(tenant)s AND user_id > %(after)s
             AND status <> 'closed' ORDER BY user_id LIMIT %(most)s""",
        tenant=tenant_id,
        after=after,
        most=most,
    )
    return [row.user_id for row in found]


def dated_by_policy(
    connection: sa.Connection, tenant_id: str, after: str, most: int
) -> list[tuple[str, DatedLot]]:
    """Return that page's users and lots whose expiry a policy of the tenant or of a rule has set."""
    found = rows(connection, _DATED, tenant=tenant_id, after=after, most=most)
    return [
        (
            row.user_id,
            DatedLot(
                row.id,
                row.expires_at,
                row.expiry_changes,
                row.points,
                row.occurred_at,
                _rule(row.rule_id, row.rule_version),
                datetime.fromisoformat(row.activates_at) if row.activates_at else None,
            ),
        )
        for row in found
    ]


def _rule(rule_id: UUID | None, version: int | None) -> tuple[UUID, int] | None:
    return (rule_id, version) if rule_id and version else None
