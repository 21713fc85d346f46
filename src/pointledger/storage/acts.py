"""Acts: written with what they do, in its transaction; never changed."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Literal, NamedTuple
from uuid import UUID

import orjson
import sqlalchemy as sa

from pointledger.domain.acts import Act, By
from pointledger.domain.snapshots import complete
from pointledger.ids import new_id
from pointledger.storage.database import rows, run
from pointledger.storage.queries import shown

_HASH_BYTES = 16  # like a command's fingerprint

_SAVE = """
INSERT INTO acts (tenant_id, id, kind, command_id, state, refusal, before, after, recorded_at)
SELECT act.tenant_id, act.id, j.kind, j.id, act.state, act.refusal, act.before::json, act.after::json,
       act.recorded_at
FROM unnest(%(tenants)b::text[], %(ids)b::uuid[], %(commands)b::uuid[], %(states)b::text[],
            %(refusals)b::text[], %(befores)b::text[], %(afters)b::text[], %(moments)b::timestamptz[])
     AS act (tenant_id, id, command_id, state, refusal, before, after, recorded_at)
JOIN journal j ON j.id = act.command_id"""


def save_acts(connection: sa.Connection, acts: Sequence[Act]) -> None:
    """Writes the acts of a batch; reads and writes nothing where there are none."""
    if not acts:
        return
    touched = run(
        connection,
        _SAVE,
        tenants=[act.tenant_id for act in acts],
        ids=[act.id for act in acts],
        commands=[act.command_id for act in acts],
        states=[act.state for act in acts],
        refusals=[act.refusal for act in acts],
        befores=[_json(act.before) for act in acts],
        afters=[_json(act.after) for act in acts],
        moments=[act.recorded_at for act in acts],
    )
    assert touched == len(acts), "what is decided stands in the journal"


_RECORD = """
INSERT INTO acts (tenant_id, id, kind, actor, command_id, reason, state, refusal, before, after, request_hash)
VALUES (%(tenant)s, %(id)s, %(kind)s, %(actor)s, %(command)s, %(reason)s, %(state)s, %(refusal)s,
        %(before)s::json, %(after)s::json, %(hash)s)"""


def record(
    connection: sa.Connection,
    tenant_id: str,
    kind: str,
    by: By,
    *,
    before: Any = None,
    after: Any = None,
    command_id: UUID | None = None,
    refusal: str | None = None,
) -> None:
    """Writes an act that is no command: to a programme, or to a command that waits or is dead."""
    asked = _json([tenant_id, kind, command_id, after])
    run(
        connection,
        _RECORD,
        tenant=tenant_id,
        id=new_id(),
        kind=kind,
        actor=by.actor,
        command=command_id,
        reason=by.reason,
        state="refused" if refusal else "applied",
        refusal=refusal,
        before=None if before is None else _json(before),
        after=None if after is None else _json(after),
        hash=blake2b(asked.encode(), digest_size=_HASH_BYTES).digest(),
    )


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()


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
