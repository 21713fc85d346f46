"""What was accepted earlier and still waits: whether a refusal rests on something that may yet change.

Asked only where something is about to be refused. `pending` has hashes of the users that a command touches,
so that the journal is read only for those that may be meant; where there is none, an older program wrote it.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from pointledger.storage.database import rows, run

# A user's hash in `pending`. A tenant's id has no blank.
HASHES = """
hashtext({line}.tenant_id || ' ' || {line}.user_id), CASE {line}.kind
    WHEN 'transfer' THEN hashtext({line}.tenant_id || ' ' || ({line}.payload ->> 'to_user_id')) END"""


class Question(NamedTuple):
    """About a command with this place in the order: what waits of a user, who is in that lane."""

    seq: int
    tenant_id: str
    user_id: str
    lane: int


class Place(NamedTuple):
    """Where something waits."""

    lane: int
    seq: int


class Answer(NamedTuple):
    """`before`: of what was accepted before the command, the last that waits; None: nothing does. `after`:
    whether anything waits that was accepted after it. `is_there`: whether the user has an account."""

    before: Place | None
    after: bool = False
    is_there: bool = False


_OF_USER = """
SELECT max(p.seq) FILTER (WHERE p.seq < asked.seq) AS before,
       coalesce(bool_or(p.seq > asked.seq), false) AS after,
       EXISTS (SELECT FROM accounts a
               WHERE a.tenant_id = asked.tenant_id COLLATE "C" AND a.user_id = asked.user_id COLLATE "C")
           AS is_there
FROM unnest(%(seqs)b::int8[], %(tenants)b::text[], %(users)b::text[], %(lanes)b::int2[])
     WITH ORDINALITY AS asked (seq, tenant_id, user_id, lane, place)
LEFT JOIN LATERAL (
    SELECT p.seq FROM pending p
    WHERE p.lane = asked.lane AND NOT (p.lane = %(lane)s AND p.seq = ANY(%(deciding)b::int8[]))
      AND (p.user_hash IS NULL OR p.user_hash = hashtext(asked.tenant_id || ' ' || asked.user_id))
      AND EXISTS (SELECT FROM journal j WHERE j.id = p.id AND j.tenant_id = asked.tenant_id COLLATE "C"
                    AND j.user_id = asked.user_id COLLATE "C" OFFSET 0)) AS p ON true
GROUP BY asked.place, asked.seq, asked.tenant_id, asked.user_id, asked.lane
ORDER BY asked.place"""

_INCOMING = """
SELECT p.seq AS before, p.lane
FROM unnest(%(seqs)b::int8[], %(tenants)b::text[], %(users)b::text[])
     WITH ORDINALITY AS asked (seq, tenant_id, user_id, place)
LEFT JOIN LATERAL (
    SELECT p.seq, p.lane FROM pending p
    WHERE p.recipient_hash = hashtext(asked.tenant_id || ' ' || asked.user_id) AND p.seq < asked.seq
      AND NOT (p.lane = %(lane)s AND p.seq = ANY(%(deciding)b::int8[]))
      AND EXISTS (SELECT FROM journal j WHERE j.id = p.id AND j.tenant_id = asked.tenant_id COLLATE "C"
                    AND j.payload ->> 'to_user_id' = asked.user_id OFFSET 0)
    ORDER BY p.seq DESC LIMIT 1) AS p ON true
ORDER BY asked.place"""


def of_users(
    connection: sa.Connection, lane: int, deciding: list[int], asked: Sequence[Question]
) -> list[Answer]:
    """What of each user waits. `deciding`: what of the lane is being decided, and counts as done. In one
    snapshot: whoever opens an account either still waits, or the account is there."""
    found = rows(
        connection,
        _OF_USER,
        lane=lane,
        deciding=deciding,
        lanes=[question.lane for question in asked],
        **_columns(asked),
    )
    return [
        Answer(None if row.before is None else Place(question.lane, row.before), row.after, row.is_there)
        for question, row in zip(asked, found, strict=True)
    ]


def incoming(
    connection: sa.Connection, lane: int, deciding: list[int], asked: Sequence[Question]
) -> list[Answer]:
    """Which transfer to each user waits that was accepted before the command."""
    found = rows(connection, _INCOMING, lane=lane, deciding=deciding, **_columns(asked))
    return [Answer(None if row.before is None else Place(row.lane, row.before)) for row in found]


def _columns(asked: Sequence[Question]) -> dict[str, list[object]]:
    return {
        "seqs": [question.seq for question in asked],
        "tenants": [question.tenant_id for question in asked],
        "users": [question.user_id for question in asked],
    }


# ----------------------------------------------------------------------------------------- who waits for it

_WAIT = """
INSERT INTO failures AS known
    (id, lane, tenant_id, user_id, attempts, error, waits_lane, waits_seq, waits_until)
SELECT j.id, j.lane, j.tenant_id, j.user_id, 0, 'waits for what was accepted before it', new.lane, new.seq,
       clock_timestamp() + %(seconds)s * interval '1 second'
FROM unnest(%(ids)s::uuid[], %(lanes)s::int2[], %(seqs)s::int8[]) AS new (id, lane, seq)
JOIN journal j ON j.id = new.id
WHERE EXISTS (SELECT FROM pending p WHERE p.lane = %(lane)s AND p.id = j.id OFFSET 0)
ON CONFLICT (id) DO UPDATE
SET waits_lane = excluded.waits_lane, waits_seq = excluded.waits_seq,
    waits_until = coalesce(known.waits_until, excluded.waits_until)"""


def let_wait(connection: sa.Connection, lane: int, waits: dict[UUID, Place], seconds: float) -> None:
    """Lets commands, and their users, wait while something stands at these places; but not for longer than so
    many seconds since they first had to. The lane's row is held."""
    run(
        connection,
        _WAIT,
        lane=lane,
        seconds=seconds,
        ids=list(waits),
        lanes=[place.lane for place in waits.values()],
        seqs=[place.seq for place in waits.values()],
    )


_OVERDUE = """
SELECT id FROM failures WHERE id = ANY(%(ids)s::uuid[]) AND waits_until <= clock_timestamp()"""


def overdue(connection: sa.Connection, command_ids: list[UUID]) -> set[UUID]:
    """Those of the commands that have waited for as long as they had to."""
    return {row.id for row in rows(connection, _OVERDUE, ids=command_ids)}
