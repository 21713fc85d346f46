"""What is asked of Redis, and of a broker that is none."""

import time
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import redis as client
import sqlalchemy as sa
from kombu import Connection

from pointledger.messaging.contract import lists_of_commands
from pointledger.messaging.doorbell import rings
from pointledger.observability.doctor import versions
from pointledger.observability.doctor.findings import Finding, danger, fine, warning
from pointledger.observability.doctor.postgres import skew
from pointledger.settings import Settings

_SECONDS = 2.0  # a server that takes longer counts as away
_MOST_KEYS = 1000  # that are looked at
_SHOWN_KEYS = 5
_RING_WAITS_SECONDS = 10.0  # each worker has many lanes to ring for, a quarter of a second each at most


class Server(NamedTuple):
    """A server beside Postgres: what it is called in findings, what it is there for, and its URL."""

    check: str
    purpose: str
    url: str

    @property
    def is_redis(self) -> bool:
        return self.url.startswith(("redis", "valkey", "unix"))


def servers(settings: Settings) -> list[Server]:
    """Each server once; the first is the one for locks."""
    named = [
        Server("redis", "locks and doorbells", settings.redis),
        Server("broker", "Celery", settings.broker),
        Server("events-broker", "events", settings.events),
    ]
    return [one for at, one in enumerate(named) if one.url not in [other.url for other in named[:at]]]


def examine(server: Server) -> list[Finding]:
    """All that is to say of a server; one finding if it is away."""
    if not server.is_redis:
        return [_answers(server)]
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
    """How long the oldest has lain in Celery's queue. Nothing, where the broker is away or no Redis."""
    broker = Server("broker", "Celery", settings.broker)
    if not broker.is_redis:
        return []
    try:
        with _connected(broker) as connection:
            found = rings(connection, settings)
    except (client.RedisError, OSError, ValueError):
        return []
    if not found.waiting:
        return [fine("doorbells", "none waits")]
    if found.oldest_seconds is None:
        seen = f"{found.waiting:,} messages wait, and the oldest is no doorbell"
        return [warning("doorbells", seen, "Find out who else sends to the queue points.lanes.")]
    seen = f"{found.waiting:,} wait, {found.oldest_seconds:.1f} s at most"
    if found.oldest_seconds <= _RING_WAITS_SECONDS:
        return [fine("doorbells", seen)]
    return [warning("doorbells", seen, "Start workers, or more of them: celery -A workers worker.")]


def stray_commands(settings: Settings) -> list[Finding]:
    """Lists of commands by name beside those that workers read: a client's options have put them there.
    Nothing, where the broker is away or no Redis."""
    broker = Server("broker", "Celery", settings.broker)
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
        return [fine("stray-commands", f"no messages beside the queue {queue}")]
    shown = ", ".join(f"{messages:,} in {key!r}" for key, messages in sorted(strays.items())[:_SHOWN_KEYS])
    return [
        warning(
            "stray-commands",
            f"messages that no worker reads: {shown}",
            "Let their sender use Celery without a key prefix or separator of its own. What lies there goes "
            f"on with: redis-cli LMOVE KEY {queue} RIGHT LEFT, once for each message.",
        )
    ]


def _connected(server: Server) -> client.Redis:
    return client.Redis.from_url(
        server.url, decode_responses=True, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS
    )


def eviction(server: Server, policy: str) -> Finding:
    """With another policy a full Redis drops messages and says nothing: of 8,000 there were 101 left
    (measured)."""
    check = f"{server.check}-eviction"
    if policy != "noeviction":
        return danger(
            check,
            f"maxmemory-policy is {policy}: when memory is short, messages vanish without an error",
            "Set maxmemory-policy noeviction in its configuration, or give the ledger a server of its own.",
        )
    return fine(check, "maxmemory-policy noeviction")


def policy_of(server: Server) -> str | None:
    """Its eviction policy; None if it is away or no Redis."""
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
        return danger(check, "its last write to the disk failed", "Look at its log and at the disk's room.")
    if not info.get("aof_enabled"):
        return warning(
            check,
            "appendonly is off: a restart loses events on their way and commands sent by name",
            "Set appendonly yes. What the client has accepted stands in Postgres either way.",
        )
    return fine(check, "appendonly yes")


def _answers(server: Server) -> Finding:
    try:
        with Connection(server.url, connect_timeout=_SECONDS) as connection:
            connection.ensure_connection(max_retries=1, timeout=_SECONDS)
    except Exception as error:  # each transport has errors of its own
        return _away(server, error)
    return fine(server.check, "answers")


def _away(server: Server, error: Exception) -> Finding:
    return danger(
        server.check,
        f"the server for {server.purpose} does not answer: {type(error).__name__}",
        "Check that it runs and what the URL in the environment names. Commands are accepted meanwhile, and "
        "applied when it is back.",
    )


# --------------------------------------------------------------------------------------------- transport

_LOOPBACK = ("", "localhost", "127.0.0.1", "::1")
_CHECKED_MODES = ("verify-ca", "verify-full")


def transports(settings: Settings) -> list[Finding]:
    """Whether connections that leave the machine are encrypted, and the server is checked."""
    found = [_postgres_transport(settings.database)]
    return found + [_transport(server) for server in servers(settings)]


def _postgres_transport(text: str) -> Finding:
    url = sa.make_url(text)
    check, mode = "postgres-tls", str(url.query.get("sslmode", "prefer"))
    host = url.host or str(url.query.get("host", ""))
    if host in _LOOPBACK or host.startswith("/"):
        return fine(check, "the connection stays on this machine")
    if mode in _CHECKED_MODES:
        return fine(check, f"sslmode={mode}")
    seen = f"sslmode={mode}: who answers is not checked, and may read along"
    return warning(check, seen, "Add ?sslmode=verify-full&sslrootcert=FILE to the URL.")


def _transport(server: Server) -> Finding:
    check = f"{server.check}-tls"
    url = urlsplit(server.url)
    if url.scheme.startswith("unix") or (url.hostname or "") in _LOOPBACK:
        return fine(check, "the connection stays on this machine")
    wanted = parse_qs(url.query).get("ssl_cert_reqs", ["required"])[0].lower().removeprefix("cert_")
    if url.scheme in ("rediss", "valkeys", "amqps") and wanted == "required":
        return fine(check, f"{url.scheme}, and the server's certificate is checked")
    return warning(
        check,
        f"{url.scheme}: whoever is on the way may read and write along",
        "Use rediss://...?ssl_cert_reqs=required&ssl_ca_certs=FILE, or amqps://.",
    )
