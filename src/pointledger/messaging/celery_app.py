"""Configures Celery for producers, workers and beat."""

import ssl
from typing import Any

from celery import Celery
from kombu import Connection, Queue

from pointledger.errors import LedgerError, NotConfigured
from pointledger.messaging import redis_url
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
    SEND_EXPIRY_REMINDERS_TASK,
    SUM_UP_DAYS_TASK,
    VERIFY_TASK,
)
from pointledger.messaging.redis_url import KombuUrl
from pointledger.settings import Settings


def configure(app: Celery, settings: Settings) -> None:
    """Give the app of a worker or of beat the shared settings. Exit if a URL is missing or malformed."""
    try:
        app.conf.update(celery_settings(settings))
    except LedgerError as error:  # a traceback would not say more
        raise SystemExit(str(error)) from None


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings that producers, workers and beat share, each below the failure it prevents."""
    return {
        # Any client of the broker can send messages, so they are data, never code.
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        # Celery would create a misspelled queue, and no worker would read it.
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
            SEND_EXPIRY_REMINDERS_TASK: {"queue": PERIODIC_QUEUE},
            FINISH_ERASURES_TASK: {"queue": PERIODIC_QUEUE},
            SUM_UP_DAYS_TASK: {"queue": PERIODIC_QUEUE},
            VERIFY_TASK: {"queue": PERIODIC_QUEUE},
        },
        # Outcomes are in Postgres; Celery reads them there and writes none.
        "result_backend": "pointledger.integrations.celery_backend:OutcomeBackend",
        # With events and remote control each publisher could stop all workers, and each event is a message.
        "task_send_sent_event": False,
        "worker_send_task_events": False,
        "worker_enable_remote_control": False,
        "enable_utc": True,
        "timezone": "UTC",
        "pointledger_settings": settings,  # for the result backend
    } | _broker_settings(settings)


def _broker_settings(settings: Settings) -> dict[str, Any]:
    broker = broker_for_kombu(settings.broker, settings.setting_of("broker"))
    return {
        "broker_url": broker.url,
        "broker_use_ssl": broker.ssl,
        # A publish must not wait without limit on a dead connection.
        "broker_connection_timeout": 4,
        "broker_pool_limit": 10,
        "broker_pool_acquire_timeout": 5,
        "task_publish_retry_policy": {
            "max_retries": 3,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.5,
        },
        "broker_transport_options": _transport_options(settings) | broker.transport_options,
    }


def broker_for_kombu(url: str, setting: str) -> KombuUrl:
    """Return a broker's URL in kombu's terms, with its TLS options. Raises NotConfigured.

    `amqps:` needs options, too: with the URL alone kombu accepts the certificate of any host.
    """
    if redis_url.is_redis(url):
        return redis_url.for_kombu(redis_url.read(url, setting))
    _require_transport(url, setting)
    if not url.startswith("amqps:"):
        return KombuUrl(url, {}, None)
    # None: kombu takes the URL's host
    return KombuUrl(url, {}, {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None})


def _require_transport(url: str, setting: str) -> None:
    try:
        Connection(url).get_transport_cls()
    except ImportError as error:
        raise NotConfigured(f"{setting} needs another library: {error}") from error
    except (ValueError, LookupError) as error:  # its text can contain a part of the password
        raise NotConfigured(f"{setting} is not like redis://host:6379/0 or amqp://host:5672//") from error


def _transport_options(settings: Settings) -> dict[str, Any]:
    """Return the options of kombu's transport; most of those of Redis do not exist on RabbitMQ."""
    if not redis_url.is_redis(settings.broker):
        # RabbitMQ stops to read when its memory or disk is full. A publish must not wait for that.
        return {"write_timeout": 4}
    return {
        # If a worker dies, its doorbell is delivered again after this; the longest task is far shorter.
        "visibility_timeout": 120,
        # By default kombu looks for such messages every 100 seconds.
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        # Without these a worker waited 150 seconds on a half-open connection (measured).
        "socket_timeout": 15,
        "socket_connect_timeout": 4,
        "socket_keepalive": True,
        "health_check_interval": 10,
        # One list per queue: every priority step would add one to each BRPOP.
        "priority_steps": [0],
        "queue_order_strategy": "round_robin",
        # Two ledgers can share a Redis, so their own queues get a prefix. The queue on which other services
        # send keeps its public name; `integrations/celery_commands.py` reads it.
        "global_keyprefix": f"{settings.redis_prefix}:",
    }


def producer_app(settings: Settings) -> Celery:
    """Return a Celery app that rings doorbells."""
    app = Celery("pointledger", set_as_current=False)
    app.conf.update(celery_settings(settings))
    return app
