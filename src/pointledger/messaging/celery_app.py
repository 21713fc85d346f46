"""Celery's settings, and the app of a producer."""

import ssl
from typing import Any

from celery import Celery
from kombu import Queue

from pointledger.messaging.contract import (
    ACTIVATE_POINTS_TASK,
    DRAIN_TASK,
    EXPIRE_POINTS_TASK,
    FINISH_ERASURES_TASK,
    LANES_QUEUE,
    PERIODIC_QUEUE,
    RELEASE_HOLDS_TASK,
    RESET_LIMITS_TASK,
    RING_TASK,
    TELL_EXPIRING_TASK,
)
from pointledger.settings import Settings

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
        # Outcomes are in Postgres; Celery reads them there and writes nothing.
        "result_backend": "pointledger.integrations.celery_backend:OutcomeBackend",
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
        # read elsewhere (`integrations/celery_commands.py`), under the name that they know.
        "global_keyprefix": f"{settings.redis_prefix}:",
    }


def producer_app(settings: Settings) -> Celery:
    """A Celery app that rings doorbells."""
    app = Celery("pointledger", set_as_current=False)
    app.conf.update(celery_settings(settings))
    return app
