"""Encodes commands as journal records and decodes them."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

import orjson

from pointledger.domain.commands import KINDS, AnyCommand, ApplyRule, Freeze, Unfreeze, checked
from pointledger.domain.values.json_values import CHECKED_BEFORE

LIVE_COMMANDS = 20  # of one tenant in a lane, or in a call: more are a bulk


def lane_of(tenant_id: str, user_id: str, lanes: int) -> int:
    """Return the user's lane: the slice of the journal with this user's commands, the same on every host."""
    digest = blake2b(f"{tenant_id}\x00{user_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % lanes


# The journal has columns for these fields, so the payload omits them.
_COLUMNS = {"id", "tenant_id", "user_id", "actor", "idempotency_key", "occurred_at", "extensions"}
_FINGERPRINT_BYTES = 16


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """A command in the journal's format, before the journal assigns its sequence number."""

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


def encode(command: AnyCommand, lanes: int) -> JournalRecord:
    """Encode a command as a journal record. Raises InvalidCommand."""
    command = checked(command)
    payload = command.model_dump_json(exclude=_COLUMNS, exclude_none=True)
    return JournalRecord(
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
    """Digest what a command requests: its kind and fields, without id, actor, sender, key and extensions.

    The order of keys in metadata does not matter, at any depth.
    """
    if isinstance(command, ApplyRule) and command.metadata:
        payload = orjson.dumps(orjson.loads(payload), option=orjson.OPT_SORT_KEYS).decode()
    if isinstance(command, Freeze | Unfreeze) and command.sender:
        payload = command.model_dump_json(exclude=_COLUMNS | {"sender"}, exclude_none=True)
    occurred = command.occurred_at.timestamp() if command.occurred_at else ""
    text = "\x00".join((command.kind, command.tenant_id, command.user_id, str(occurred), payload))
    return blake2b(text.encode(), digest_size=_FINGERPRINT_BYTES).digest()


class UnknownPayload(Exception):
    """A newer version wrote this command. It stays pending until a worker knows its kind and version."""


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
    """Decode a journal record, without the extensions, which no decision reads. Raises UnknownPayload."""
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
