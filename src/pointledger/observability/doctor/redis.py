"""Checks Redis and the brokers: availability, version, eviction, persistence, clock, queues and TLS."""

import time
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import redis as client
from kombu import Connection

from pointledger.messaging import redis_url
from pointledger.messaging.celery_app import broker_for_kombu
from pointledger.messaging.contract import lists_of_commands
from pointledger.messaging.doorbell import queued_doorbells
from pointledger.observability.doctor import versions
from pointledger.observability.doctor.findings import Finding, danger, fine, warning
from pointledger.observability.doctor.postgres import skew
from pointledger.settings import Settings
from pointledger.storage.urls import effective

_TIMEOUT_SECONDS = 2.0  # a slower server counts as away
_MOST_KEYS = 1000  # keys to scan
_SHOWN_KEYS = 5
_LATE_RING_SECONDS = 10.0  # a worker spends up to a quarter of a second on each of many lanes


class Server(NamedTuple):
    """A server other than Postgres: its name in findings, its purpose, its URL and the setting of that."""

    check: str
    purpose: str
    url: str
    setting: str

    @property
    def is_redis(self) -> bool:
        return redis_url.is_redis(self.url)


def servers(settings: Settings) -> list[Server]:
    """List each server once. The first is the one for locks."""
    named = [
        Server("redis", "locks and doorbells", settings.redis, settings.setting_of("redis")),
        _broker(settings),
        Server("events-broker", "events", settings.events, settings.setting_of("events")),
    ]
    return [one for at, one in enumerate(named) if one.url not in [other.url for other in named[:at]]]


def _broker(settings: Settings) -> Server:
    return Server("broker", "Celery", settings.broker, settings.setting_of("broker"))


def examine(server: Server) -> list[Finding]:
    """Check one server. If it is away, that is the only finding."""
    if not server.is_redis:
        return [_connection(server)]
    try:
        with _connected(server) as connection:
            info: dict[str, Any] = dict(connection.info())
            began = time.time()
            seconds, microseconds = connection.time()
            ahead = seconds + microseconds / 1e6 - (began + time.time()) / 2
    except (client.RedisError, OSError, ValueError) as error:
        return [_away(server, error)]
    return [
        versions.redis(f"{server.check}-version", info),
        eviction(server, str(info.get("maxmemory_policy", "unknown"))),
        _persistence(server, info),
        skew(f"{server.check}-clock", ahead),
    ]


def doorbells(settings: Settings) -> list[Finding]:
    """Check the age of the oldest doorbell in Celery's queue. Empty if the broker is away or not Redis."""
    broker = _broker(settings)
    if not broker.is_redis:
        return []
    try:
        with _connected(broker) as connection:
            found = queued_doorbells(connection, settings)
    except (client.RedisError, OSError, ValueError):
        return []
    if not found.waiting:
        return [fine("doorbells", "none pending")]
    if found.oldest_seconds is None:
        seen = f"{found.waiting:,} messages pending, and the oldest is not a doorbell"
        return [warning("doorbells", seen, "Find the program that sends to the queue points.lanes.")]
    seen = f"{found.waiting:,} pending, oldest {found.oldest_seconds:.1f} s"
    if found.oldest_seconds <= _LATE_RING_SECONDS:
        return [fine("doorbells", seen)]
    return [warning("doorbells", seen, "Start more workers: pointledger worker.")]


def events_queues(settings: Settings) -> list[Finding]:
    """Check that consumers take the events. Empty if the broker of events is away or not Redis."""
    broker = Server("events-broker", "events", settings.events, settings.setting_of("events"))
    if not broker.is_redis or not settings.events_queues:
        return []
    try:
        with _connected(broker) as connection:
            longest = max((int(connection.llen(name)), name) for name in settings.events_queues)
    except (client.RedisError, OSError, ValueError):
        return []
    seen = f"{longest[0]:,} events in {longest[1]}; limit {settings.events_queue_limit:,}"
    if longest[0] < settings.events_queue_limit:
        return [fine("events-queue", seen)]
    remedy = "Start consumers of the queue, or set each tenant's events to those that it needs."
    return [warning("events-queue", f"{seen}: relays wait", remedy)]


def stray_commands(settings: Settings) -> list[Finding]:
    """Find commands in lists that no worker reads, where a client's Celery options put them.

    Empty if the broker is away or not Redis.
    """
    broker = _broker(settings)
    if not broker.is_redis:
        return []
    known, queue = set(lists_of_commands(settings)), settings.commands_queue
    strays: dict[str, int] = {}
    try:
        with _connected(broker) as connection:
            keys = islice(connection.scan_iter(f"*{queue}*", count=1000, _type="list"), _MOST_KEYS)
            for key in keys:
                if key not in known and f"{queue}:taken:" not in key:
                    strays[key] = connection.llen(key)
    except (client.RedisError, OSError, ValueError):
        return []
    if not strays:
        return [fine("stray-commands", f"no messages outside the queue {queue}")]
    shown = ", ".join(f"{messages:,} in {key!r}" for key, messages in sorted(strays.items())[:_SHOWN_KEYS])
    return [
        warning(
            "stray-commands",
            f"messages that no worker reads: {shown}",
            "Remove the key prefix and the priority separator from the sender's Celery options. "
            f"Then run, once for each message: redis-cli LMOVE KEY {queue} RIGHT LEFT.",
        )
    ]


def _connected(server: Server) -> client.Redis:
    return redis_url.client(
        redis_url.read(server.url, server.setting),
        decode_responses=True,
        socket_timeout=_TIMEOUT_SECONDS,
        socket_connect_timeout=_TIMEOUT_SECONDS,
    )


def eviction(server: Server, policy: str) -> Finding:
    """Check the eviction policy. With any other, a full Redis kept 101 of 8,000 messages (measured)."""
    check = f"{server.check}-eviction"
    if policy != "noeviction":
        return danger(
            check,
            f"maxmemory-policy is {policy}: a full server silently drops messages",
            "Set maxmemory-policy noeviction, or give the ledger its own server.",
        )
    return fine(check, "maxmemory-policy noeviction")


def policy_of(server: Server) -> str | None:
    """Return the eviction policy, or None if the server is away or not Redis."""
    if not server.is_redis:
        return None
    try:
        with _connected(server) as connection:
            return str(connection.info("memory").get("maxmemory_policy", "unknown"))
    except (client.RedisError, OSError, ValueError):
        return None


def _persistence(server: Server, info: dict[str, Any]) -> Finding:
    check = f"{server.check}-persistence"
    if "err" in (info.get("aof_last_write_status"), info.get("rdb_last_bgsave_status")):
        return danger(check, "the last write to disk failed", "Check the server's log and free disk space.")
    if not info.get("aof_enabled"):
        return warning(
            check,
            "appendonly is off: a restart loses queued events and commands sent by name",
            "Set appendonly yes. Accepted commands are in Postgres and are safe either way.",
        )
    return fine(check, "appendonly yes")


def _connection(server: Server) -> Finding:
    try:
        broker = broker_for_kombu(server.url, server.setting)
        with Connection(broker.url, connect_timeout=_TIMEOUT_SECONDS, ssl=broker.ssl or False) as connection:
            connection.ensure_connection(max_retries=1, timeout=_TIMEOUT_SECONDS)
    except Exception as error:  # each transport raises its own errors
        return _away(server, error)
    return fine(server.check, "answers")


def _away(server: Server, error: Exception) -> Finding:
    return danger(
        server.check,
        f"the server for {server.purpose} does not answer: {type(error).__name__}",
        "Check that it runs, and check its URL. Commands are accepted and will be applied when it is back.",
    )


# --------------------------------------------------------------------------------------------- transport

_LOOPBACK = ("", "localhost", "127.0.0.1", "::1")
_CHECKED_MODES = ("verify-ca", "verify-full")


def transports(settings: Settings) -> list[Finding]:
    """Check that connections to other machines are encrypted and verify the server."""
    found = [_postgres_transport(settings.database)]
    return found + [_transport(server) for server in servers(settings)]


def _postgres_transport(text: str) -> Finding:
    url = effective(text, "POINTLEDGER_DATABASE_URL")
    check, mode = "postgres-tls", url.get("sslmode", "prefer")
    hosts = url.get("host", url.get("hostaddr", "")).split(",")
    if all(host in _LOOPBACK or host.startswith(("/", "@")) for host in hosts):
        return fine(check, "the connection stays on this machine")
    if mode in _CHECKED_MODES:
        return fine(check, f"sslmode={mode}")
    seen = f"sslmode={mode}: the server is not verified, so an attacker could read the traffic"
    return warning(check, seen, "Add ?sslmode=verify-full&sslrootcert=FILE to the URL.")


def _transport(server: Server) -> Finding:
    check = f"{server.check}-tls"
    scheme = server.url.partition("://")[0]
    if all(host in _LOOPBACK for host in _hosts(server)):
        return fine(check, "the connection stays on this machine")
    if _is_verified(server):
        return fine(check, f"{scheme}, and the server's certificate is verified")
    return warning(
        check,
        f"{scheme}: an attacker on the network could read and change the traffic",
        "Use rediss://...?ssl_ca_certs=FILE, sentinel://...&ssl_ca_certs=FILE, or amqps://.",
    )


def _hosts(server: Server) -> list[str]:
    if server.is_redis:
        return redis_url.read(server.url, server.setting).hosts
    return [urlsplit(server.url).hostname or ""]


def _is_verified(server: Server) -> bool:
    if not server.is_redis:
        return server.url.startswith("amqps:")
    url = redis_url.read(server.url, server.setting)
    checked = str(url.options.get("ssl_cert_reqs", "required")).lower().removeprefix("cert_")
    return url.is_encrypted and checked == "required"
