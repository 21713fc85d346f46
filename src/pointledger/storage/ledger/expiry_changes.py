"""How the expiry of lots was moved: a record for each time, in their order."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from pointledger.domain.ledger.book import Book
from pointledger.domain.program.policy_expiry import DatedLot
from pointledger.storage.copy import copy
from pointledger.storage.database import rows, run

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
    """After the new lots are there: a lot may be moved by the batch that brought it."""
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
    touched = run(
        connection,
        _MOVE,
        tenants=[lot.tenant_id for lot in lots],
        ids=[lot.id for lot in lots],
        expires=[lot.expires_at for lot in lots],
        changes=[lot.expiry_changes for lot in lots],
    )
    assert touched == len(lots), "a lot is there for ever"


def expired_then(lot: str, seq: str) -> str:
    """SQL for when a lot was to expire as its account's entry number `seq` was written; both are names of
    ours. What was moved later says where from; an array, for that may have been never."""
    return f"""CASE WHEN {lot}.expiry_changes = 0 THEN {lot}.expires_at ELSE (coalesce(
        (SELECT ARRAY[c.was] FROM expiry_changes c
         WHERE c.tenant_id = {lot}.tenant_id AND c.lot_id = {lot}.id AND c.after_seq >= {seq}
         ORDER BY c.nth LIMIT 1), ARRAY[{lot}.expires_at]))[1] END"""  # noqa: S608  (names of ours)


# Whether a command named an expiry of its own, and until when its points were pending, stands in the journal.
# What came by grace, or was moved by an administrator, no policy has dated.
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
    """A page of the users with an account that is not closed."""
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
    """The lots of that page whose expiry a policy has set, of the tenant or of a rule, and whose they are."""
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
