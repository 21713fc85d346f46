"""A command's record in the journal: its columns, its payload and its fingerprint."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

import orjson

from pointledger.domain.commands import KINDS, AnyCommand, ApplyRule, checked
from pointledger.domain.values.json_values import CHECKED_BEFORE


def lane_of(tenant_id: str, user_id: str, lanes: int) -> int:
    """The slice of the journal in which this user's commands stand, the same on every machine."""
    digest = blake2b(f"{tenant_id}\x00{user_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % lanes


# Columns of the journal, and so not part of the payload.
_COLUMNS = {"id", "tenant_id", "user_id", "actor", "idempotency_key", "occurred_at", "extensions"}


_FINGERPRINT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Line:
    """A command as the journal holds it, before it has its place in the order."""

    id: UUID
    lane: int
    version: int
    occurred_at: datetime | None
    fingerprint: bytes
    tenant_id: str
    user_id: str
    actor: str
    kind: str
    key: str | None
    payload: str
    extensions: str | None


def encode(command: AnyCommand, lanes: int) -> Line:
    """A command as a line of the journal. Raises InvalidCommand."""
    command = checked(command)
    payload = command.model_dump_json(exclude=_COLUMNS, exclude_none=True)
    return Line(
        id=command.id,
        lane=lane_of(command.tenant_id, command.user_id, lanes),
        version=command.version,
        occurred_at=command.occurred_at,
        fingerprint=_fingerprint(command, payload),
        tenant_id=command.tenant_id,
        user_id=command.user_id,
        actor=command.actor,
        kind=command.kind,
        key=command.key,
        payload=payload,
        extensions=orjson.dumps(command.extensions).decode() if command.extensions else None,
    )


def _fingerprint(command: AnyCommand, payload: str) -> bytes:
    """Tells whether two commands ask for the same: kind and fields, but not id, actor, key and extensions.

    The order of metadata's keys does not matter, at any depth.
    """
    if isinstance(command, ApplyRule) and command.metadata:
        payload = orjson.dumps(orjson.loads(payload), option=orjson.OPT_SORT_KEYS).decode()
    occurred = command.occurred_at.timestamp() if command.occurred_at else ""
    text = "\x00".join((command.kind, command.tenant_id, command.user_id, str(occurred), payload))
    return blake2b(text.encode(), digest_size=_FINGERPRINT_BYTES).digest()


class UnknownPayload(Exception):
    """A newer program wrote this command; it waits for a worker that knows its kind and version."""


def decode(
    kind: str,
    version: int,
    payload: str,
    *,
    command_id: UUID,
    tenant_id: str,
    user_id: str,
    actor: str,
    key: str | None,
    occurred_at: datetime | None,
) -> AnyCommand:
    """The command that a line of the journal holds, without its extensions: no decision reads them. Raises
    UnknownPayload."""
    command = KINDS.get(kind)
    if command is None or version > command.version:
        raise UnknownPayload(f"kind {kind}, version {version}")
    fields: dict[str, Any] = orjson.loads(payload)
    fields.update(
        id=command_id,
        tenant_id=tenant_id,
        user_id=user_id,
        actor=actor,
        idempotency_key=key,
        occurred_at=occurred_at,
    )
    return command.model_validate(fields, context=CHECKED_BEFORE)
