"""Writes the audit log: each record in the transaction of its change, and never changed afterwards."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa

from pointledger.domain.decisions.audit import AuditRecord
from pointledger.domain.values.actor import Actor
from pointledger.ids import new_id
from pointledger.storage.database import run
from pointledger.storage.pipelines import send_change

_HASH_BYTES = 16  # like a command's fingerprint


_SAVE = """
INSERT INTO audit_log (tenant_id, id, kind, command_id, state, refusal, before, after, recorded_at)
SELECT new.tenant_id, new.id, j.kind, j.id, new.state, new.refusal, new.before::json, new.after::json,
       new.recorded_at
FROM unnest(%(tenants)b::text[], %(ids)b::uuid[], %(commands)b::uuid[], %(states)b::text[],
            %(refusals)b::text[], %(befores)b::text[], %(afters)b::text[], %(moments)b::timestamptz[])
     AS new (tenant_id, id, command_id, state, refusal, before, after, recorded_at)
JOIN journal j ON j.id = new.command_id"""


def save_audit_records(connection: sa.Connection, audit_records: Sequence[AuditRecord]) -> None:
    """Write the audit records of a batch."""
    if not audit_records:
        return
    send_change(
        connection,
        _SAVE,
        len(audit_records),
        tenants=[record.tenant_id for record in audit_records],
        ids=[record.id for record in audit_records],
        commands=[record.command_id for record in audit_records],
        states=[record.state for record in audit_records],
        refusals=[record.refusal for record in audit_records],
        befores=[_json(record.before) for record in audit_records],
        afters=[_json(record.after) for record in audit_records],
        moments=[record.recorded_at for record in audit_records],
    )


_RECORD = """
INSERT INTO audit_log (tenant_id, id, kind, actor, command_id, reason, state, refusal, before, after,
                       request_hash)
VALUES (%(tenant)s, %(id)s, %(kind)s, %(actor)s, %(command)s, %(reason)s, %(state)s, %(refusal)s,
        %(before)s::json, %(after)s::json, %(hash)s)"""


def record(
    connection: sa.Connection,
    tenant_id: str,
    kind: str,
    actor: Actor,
    *,
    before: Any = None,
    after: Any = None,
    command_id: UUID | None = None,
    refusal: str | None = None,
) -> None:
    """Write a record of a change without a command: to a program, or to a pending or dead command."""
    request = _json([tenant_id, kind, command_id, after])
    run(
        connection,
        _RECORD,
        tenant=tenant_id,
        id=new_id(),
        kind=kind,
        actor=actor.name,
        command=command_id,
        reason=actor.reason,
        state="refused" if refusal else "applied",
        refusal=refusal,
        before=None if before is None else _json(before),
        after=None if after is None else _json(after),
        hash=blake2b(request.encode(), digest_size=_HASH_BYTES).digest(),
    )


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()
