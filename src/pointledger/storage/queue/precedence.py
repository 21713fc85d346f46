"""Finds earlier commands that are still pending, because they may change whether a command is refused.

The engine queries this only before a refusal. `pending` has hashes of the users whom a command concerns, so
Postgres reads the journal only where a hash matches. Rows of older versions have no hash.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.storage.database import rows, run
from pointledger.storage.queue.pending import at_place


class PrecedenceQuery(NamedTuple):
    """Asks which commands of a user, who is in this lane, are pending before and after a command's `seq`."""

    seq: int
    tenant_id: str
    user_id: str
    lane: int


class Place(NamedTuple):
    """The lane and `seq` of a pending command."""

    lane: int
    seq: int


class PrecedenceResult(NamedTuple):
    """What is pending of a user."""

    before: Place | None  # the last pending command that was accepted before
    after: bool = False  # whether a command that was accepted later is pending
    is_there: bool = False  # whether the user has an account


_OF_USER = """
SELECT max(p.seq) FILTER (WHERE p.seq < wanted.seq) AS before,
       coalesce(bool_or(p.seq > wanted.seq), false) AS after,
       EXISTS (SELECT FROM accounts a
               WHERE a.tenant_id = wanted.tenant_id COLLATE "C" AND a.user_id = wanted.user_id COLLATE "C")
           AS is_there
FROM unnest(%(seqs)b::int8[], %(tenants)b::text[], %(users)b::text[], %(lanes)b::int2[])
     WITH ORDINALITY AS wanted (seq, tenant_id, user_id, lane, place)
LEFT JOIN LATERAL (
    SELECT p.seq FROM pending p
    WHERE p.lane = wanted.lane AND NOT p.seq = ANY(%(deciding)b::int8[])
      AND (p.user_hash IS NULL OR p.user_hash = hashtext(wanted.tenant_id || ' ' || wanted.user_id))
      AND EXISTS (SELECT FROM journal j WHERE j.id = p.id AND j.tenant_id = wanted.tenant_id COLLATE "C"
                    AND j.user_id = wanted.user_id COLLATE "C" OFFSET 0)
    OFFSET 0) AS p ON true
GROUP BY wanted.place, wanted.seq, wanted.tenant_id, wanted.user_id, wanted.lane
ORDER BY wanted.place"""

_INCOMING = """
SELECT p.seq AS before, p.lane
FROM unnest(%(seqs)b::int8[], %(tenants)b::text[], %(users)b::text[])
     WITH ORDINALITY AS wanted (seq, tenant_id, user_id, place)
LEFT JOIN LATERAL (
    SELECT p.seq, p.lane FROM pending p
    WHERE p.recipient_hash = hashtext(wanted.tenant_id || ' ' || wanted.user_id) AND p.seq < wanted.seq
      AND NOT p.seq = ANY(%(deciding)b::int8[])
      AND EXISTS (SELECT FROM journal j WHERE j.id = p.id AND j.tenant_id = wanted.tenant_id COLLATE "C"
                    AND j.payload ->> 'to_user_id' = wanted.user_id OFFSET 0)
    ORDER BY p.seq DESC LIMIT 1) AS p ON true
ORDER BY wanted.place"""


def of_users(
    connection: sa.Connection, deciding: list[int], queries: Sequence[PrecedenceQuery]
) -> list[PrecedenceResult]:
    """Find the pending commands of each user. Commands in `deciding` count as done.

    It is one statement, so one snapshot: a command that opens an account is pending, or the account exists.
    """
    found = rows(
        connection,
        _OF_USER,
        deciding=deciding,
        lanes=[query.lane for query in queries],
        **_columns(queries),
    )
    return [
        PrecedenceResult(
            None if row.before is None else Place(query.lane, row.before), row.after, row.is_there
        )
        for query, row in zip(queries, found, strict=True)
    ]


def incoming(
    connection: sa.Connection, deciding: list[int], queries: Sequence[PrecedenceQuery]
) -> list[PrecedenceResult]:
    """Find the last pending transfer to each user that was accepted before the command."""
    found = rows(connection, _INCOMING, deciding=deciding, **_columns(queries))
    return [PrecedenceResult(None if row.before is None else Place(row.lane, row.before)) for row in found]


def _columns(queries: Sequence[PrecedenceQuery]) -> dict[str, list[object]]:
    return {
        "seqs": [query.seq for query in queries],
        "tenants": [query.tenant_id for query in queries],
        "users": [query.user_id for query in queries],
    }


# ------------------------------------------------------------------------------------------------- waiting

_WAIT = f"""
INSERT INTO failures AS known
    (id, lane, tenant_id, user_id, attempts, error, waits_lane, waits_seq, waits_until)
SELECT j.id, j.lane, j.tenant_id, j.user_id, 0, 'waits for what was accepted before it', new.lane, new.seq,
       clock_timestamp() + %(seconds)s * interval '1 second'
FROM unnest(%(ids)s::uuid[], %(lanes)s::int2[], %(seqs)s::int8[]) AS new (id, lane, seq)
JOIN journal j ON j.id = new.id
WHERE EXISTS ({at_place("j.lane", "j.seq")})
ON CONFLICT (id) DO UPDATE
SET waits_lane = excluded.waits_lane, waits_seq = excluded.waits_seq,
    waits_until = coalesce(known.waits_until, excluded.waits_until)"""  # noqa: S608  (constants only)


def let_wait(connection: sa.Connection, waits: dict[UUID, Place], seconds: float) -> None:
    """Make commands, and their users' later commands, wait while a command is pending at these places.

    Each command waits at most so many seconds, counted from its first wait. The caller holds the lanes'
    rows.
    """
    run(
        connection,
        _WAIT,
        seconds=seconds,
        ids=list(waits),
        lanes=[place.lane for place in waits.values()],
        seqs=[place.seq for place in waits.values()],
    )


_OVERDUE = """
SELECT id FROM failures WHERE id = ANY(%(ids)s::uuid[]) AND waits_until <= clock_timestamp()"""


def overdue(connection: sa.Connection, command_ids: list[UUID]) -> set[UUID]:
    """Return those of the commands whose wait has reached its limit."""
    return {row.id for row in rows(connection, _OVERDUE, ids=command_ids)}
