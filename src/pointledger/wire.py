"""What both ends agree on: names of tasks and queues, the lane of a user, the encoding of a command.

Names are contracts: a module may move, these may not change.
"""

import ssl
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

import orjson
from celery import Celery
from kombu import Queue

from pointledger.domain.commands import KINDS, AnyCommand, ApplyRule, checked
from pointledger.domain.json_values import CHECKED_BEFORE
from pointledger.settings import Settings

DRAIN_TASK = "points.drain"
RING_TASK = "points.ring_waiting_lanes"
EXPIRE_POINTS_TASK = "points.expire_points"
RESET_LIMITS_TASK = "points.reset_daily_limits"
ACTIVATE_POINTS_TASK = "points.activate_points"
RELEASE_HOLDS_TASK = "points.release_holds"
TELL_EXPIRING_TASK = "points.tell_expiring"
FINISH_ERASURES_TASK = "points.finish_erasures"

LANES_QUEUE = "points.lanes"  # doorbells
PERIODIC_QUEUE = "points.periodic"  # what beat asks for


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


# ------------------------------------------------------------------------- Celery, as every end sets it


def celery_settings(settings: Settings) -> dict[str, Any]:
    """What producers, workers and beat must set alike. Each setting stands under what it prevents."""
    return {
        # Messages come from whoever can reach the broker: data, never code.
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        # A misspelt queue would be made, and its messages never read.
        "task_create_missing_queues": False,
        "task_queues": [Queue(name) for name in (LANES_QUEUE, PERIODIC_QUEUE)],
        "task_default_queue": PERIODIC_QUEUE,
        "task_routes": {
            DRAIN_TASK: {"queue": LANES_QUEUE},
            RING_TASK: {"queue": PERIODIC_QUEUE},
            EXPIRE_POINTS_TASK: {"queue": PERIODIC_QUEUE},
            RESET_LIMITS_TASK: {"queue": PERIODIC_QUEUE},
            ACTIVATE_POINTS_TASK: {"queue": PERIODIC_QUEUE},
            RELEASE_HOLDS_TASK: {"queue": PERIODIC_QUEUE},
            TELL_EXPIRING_TASK: {"queue": PERIODIC_QUEUE},
            FINISH_ERASURES_TASK: {"queue": PERIODIC_QUEUE},
        },
        # Outcomes are in Postgres; Celery reads them there and writes nothing (`backend.py`).
        "result_backend": "pointledger.backend:OutcomeBackend",
        # Events and remote control: anybody who may publish could stop the fleet, and each costs a message.
        "task_send_sent_event": False,
        "worker_send_task_events": False,
        "worker_enable_remote_control": False,
        "enable_utc": True,
        "timezone": "UTC",
        "pointledger_settings": settings,  # for the result backend
        "broker_url": settings.broker,
        "broker_use_ssl": tls_options(settings.broker),
        # A publish must not wait for ever on a connection that is dead.
        "broker_connection_timeout": 4,
        "broker_pool_limit": 10,
        "broker_pool_acquire_timeout": 5,
        "task_publish_retry_policy": {
            "max_retries": 3,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.5,
        },
        "broker_transport_options": _transport_options(settings),
    }


def tls_options(url: str) -> dict[str, Any] | None:
    """For kombu: with amqps alone it would take any host's certificate. Redis' options stand in its URL."""
    if not url.startswith("amqps:"):
        return None
    return {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}  # None: the URL's, says kombu


def _transport_options(settings: Settings) -> dict[str, Any]:
    """For kombu's Redis transport; RabbitMQ takes none of them."""
    if not settings.broker.startswith(("redis", "valkey", "unix")):
        return {}
    return {
        # A doorbell whose worker died rings again after this; the longest task is far shorter.
        "visibility_timeout": 120,
        # The default looks for such messages every 100 seconds.
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        # Half-open connections: without these a worker sat 150 seconds on one (measured).
        "socket_timeout": 15,
        "socket_connect_timeout": 4,
        "socket_keepalive": True,
        "health_check_interval": 10,
        # One list per queue: every priority step would be one more in each BRPOP.
        "priority_steps": [0],
        "queue_order_strategy": "round_robin",
        # Two ledgers may share a Redis. These queues are the ledger's own; the one on which others send is
        # read elsewhere (`by_name.py`), under the name that they know.
        "global_keyprefix": f"{settings.redis_prefix}:",
    }


def producer_app(settings: Settings) -> Celery:
    """A Celery app that rings doorbells."""
    app = Celery("pointledger", set_as_current=False)
    app.conf.update(celery_settings(settings))
    return app
