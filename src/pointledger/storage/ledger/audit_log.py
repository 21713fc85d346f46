"""Acts: written with what they do, in its transaction; never changed."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa

from pointledger.domain.decisions.audit import Act
from pointledger.domain.values.actor import By
from pointledger.ids import new_id
from pointledger.storage.database import run

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
