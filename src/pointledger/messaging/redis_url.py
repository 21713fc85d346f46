"""Reads a Redis URL once, for redis-py and for kombu, so that it means the same to both."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis.connection import parse_url

from pointledger.errors import NotConfigured

_SENTINEL_PORT = 26_379
_REDIS_PORT = 6_379

# What a URL may begin with, and what redis-py calls it. `socket` is Celery's word for a Unix socket.
_SCHEMES = {
    "redis": "redis",
    "rediss": "rediss",
    "valkey": "redis",
    "valkeys": "rediss",
    "unix": "unix",
    "socket": "unix",
    "redis+socket": "unix",
    "sentinel": "redis",
}
_LIKE = "is not like redis://user:password@host:6379/0, rediss://..., unix:///path?db=0 or "
_LIKE += "sentinel://user:password@host:26379,host:26379/0?service=name"
_NO_CLUSTER = "Redis Cluster is not supported: name one server, or Sentinels"

_ASYNC = {
    redis.Connection: redis.asyncio.Connection,
    redis.SSLConnection: redis.asyncio.SSLConnection,
    redis.UnixDomainSocketConnection: redis.asyncio.UnixDomainSocketConnection,
}
_OF_KOMBU = (
    "socket_timeout", "socket_connect_timeout", "socket_keepalive", "health_check_interval",
    "retry_on_timeout", "client_name", "max_connections",
)  # fmt: skip

# A Sentinel that is gone without a sign must not stop the search for the others.
_SENTINEL_TIMEOUTS = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0}

Options = dict[str, Any]


class RedisUrl(NamedTuple):
    """A Redis: redis-py's options for a connection, and the Sentinels that know where it is, if any."""

    options: Options
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = ""
    sentinel_options: Mapping[str, Any] = {}

    @property
    def is_socket(self) -> bool:
        """Whether the server is reached through a Unix socket."""
        return "path" in self.options

    @property
    def is_encrypted(self) -> bool:
        """Whether connections use TLS."""
        is_tls = self.options.get("connection_class") is redis.SSLConnection
        return is_tls or bool(self.options.get("ssl"))

    @property
    def hosts(self) -> list[str]:
        """The hosts that the URL names; empty for a Unix socket."""
        if self.is_socket:
            return []
        return [host for host, _ in self.sentinels] or [self.options.get("host", "localhost")]


_MOST_BY_SENTINELS = 1_000  # their pool lets no task wait for a connection, and redis-py's own bound is 100


class KombuUrl(NamedTuple):
    """The same Redis for kombu: a URL, and what does not fit into one."""

    url: str
    transport_options: Options
    ssl: Options | None


def is_redis(url: str) -> bool:
    """Return whether the URL of a broker leads to a Redis."""
    return _scheme(url) in _SCHEMES or "cluster" in _scheme(url)


def read(url: str, setting: str) -> RedisUrl:
    """Read the URL. Raises NotConfigured, which names the setting and never shows a password."""
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    if "cluster" in scheme:
        raise NotConfigured(f"{setting}: {_NO_CLUSTER}")
    if scheme not in _SCHEMES:
        raise NotConfigured(f"{setting} {_LIKE}")
    found = _sentinel(rest, setting) if scheme == "sentinel" else _server(_SCHEMES[scheme], rest, setting)
    _require_known(found, setting)
    return found


def client(url: RedisUrl, **defaults: Any) -> redis.Redis:
    """Return redis-py's client. `defaults` are options that the URL may override."""
    options = _over(defaults, url)
    if not url.sentinels:
        return redis.Redis.from_pool(redis.ConnectionPool(**options))
    timeouts = _timeouts(options)
    sentinel = redis.sentinel.Sentinel(  # type: ignore[no-untyped-call]  # redis-py
        url.sentinels, sentinel_kwargs={**timeouts, **url.sentinel_options}, **options
    )
    found: redis.Redis = sentinel.master_for(url.service)  # type: ignore[no-untyped-call]  # redis-py
    return found


def asyncio_client(
    url: RedisUrl, pool: type[redis.asyncio.ConnectionPool] = redis.asyncio.ConnectionPool, **defaults: Any
) -> redis.asyncio.Redis:
    """Return redis-py's client for asyncio. `defaults` are options that the URL may override.

    Connections are in a `pool` of this class, unless there are Sentinels.
    """
    options = _over(defaults, url)
    if url.sentinels:
        of_sentinels = {**_timeouts(options), **url.sentinel_options}
        options.setdefault("max_connections", _MOST_BY_SENTINELS)
        sentinel = redis.asyncio.sentinel.Sentinel(  # type: ignore[no-untyped-call]  # redis-py
            list(url.sentinels), sentinel_kwargs=of_sentinels, **options
        )
        found: redis.asyncio.Redis = sentinel.master_for(url.service)
        return found
    options["connection_class"] = _ASYNC[options.get("connection_class", redis.Connection)]
    return redis.asyncio.Redis.from_pool(pool(**options))


def for_kombu(url: RedisUrl) -> KombuUrl:
    """Return the same for kombu and for Celery."""
    options = {name: url.options[name] for name in _OF_KOMBU if name in url.options}
    database = url.options.get("db", 0)
    if url.is_socket:
        address = f"redis+socket://{_login(url)}{quote(url.options['path'])}?virtual_host={database}"
        return KombuUrl(address, options, None)
    ssl = _ssl(url)
    if not url.sentinels:
        host, port = url.options.get("host", "localhost"), url.options.get("port", _REDIS_PORT)
        scheme = "rediss" if ssl else "redis"
        return KombuUrl(f"{scheme}://{_login(url)}{_address(host, port)}/{database}", options, ssl)
    each = [f"sentinel://{_login(url)}{_address(*one)}/{database}" for one in url.sentinels]
    of_sentinels = {**_SENTINEL_TIMEOUTS, **_timeouts(options), **url.sentinel_options}
    options |= {"master_name": url.service, "sentinel_kwargs": of_sentinels}
    return KombuUrl(";".join(each), options, ssl)


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower()


def _server(scheme: str, rest: str, setting: str) -> RedisUrl:
    return RedisUrl(_options(f"{scheme}://{rest}", setting))


def _sentinel(rest: str, setting: str) -> RedisUrl:
    """Read a URL of Sentinels. Its login, database and options are those of the Redis behind them."""
    end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    login, _, hosts = rest[:end].rpartition("@")
    sentinels = tuple(_host_and_port(one, setting) for one in hosts.split(","))
    options = _options(f"redis://{login}@sentinels{rest[end:]}", setting)
    del options["host"]
    service = options.pop("service", "")
    if not service:
        example = "?service=mymaster"
        raise NotConfigured(f"{setting}: name the service that the Sentinels watch, as in {example}")
    own = {
        name: options.pop(f"sentinel_{name}")
        for name in ("username", "password")
        if f"sentinel_{name}" in options
    }
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    if tls or str(options.pop("ssl", "")).lower() in ("1", "true", "yes"):
        tls["ssl"] = options["ssl"] = True
    return RedisUrl(options, sentinels, service, {**own, **tls})


def _host_and_port(text: str, setting: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.path or ";" in text:
        raise NotConfigured(
            f"{setting}: separate the Sentinels by commas, as in sentinel://a:26379,b:26379/0"
        )
    return host, port or _SENTINEL_PORT


def _options(url: str, setting: str) -> Options:
    """Return redis-py's options of a URL."""
    try:
        parts = urlsplit(url)
        found = dict(parse_url(url))  # type: ignore[no-untyped-call]  # redis-py
    except ValueError:  # its text may show a part of the password
        raise NotConfigured(f"{setting} {_LIKE}") from None
    is_socket = "path" in found
    database = "" if is_socket else parts.path.strip("/")
    if parts.scheme == "unix" and not is_socket:
        raise NotConfigured(f"{setting}: name the socket, as in unix:///run/valkey.sock?db=0")
    if database and not database.isdigit():
        raise NotConfigured(f"{setting}: the database is a number, as in redis://host:6379/0")
    if is_socket and "virtual_host" in found:  # Celery's word for the database of a socket
        found["db"] = int(found.pop("virtual_host"))
    return found


def _require_known(url: RedisUrl, setting: str) -> None:
    """Make a connection, which opens nothing, because redis-py checks the options only then."""
    options = {name: value for name, value in url.options.items() if name != "ssl"}
    if url.is_encrypted:
        options["connection_class"] = redis.SSLConnection
    try:
        redis.ConnectionPool(**options).make_connection()
        redis.Redis(**url.sentinel_options)
    except TypeError as error:  # "... got an unexpected keyword argument 'name'"
        named = str(error).rpartition("argument ")[2]
        raise NotConfigured(f"{setting}: redis-py knows no option {named}") from None
    except (ValueError, redis.RedisError) as error:
        raise NotConfigured(f"{setting}: {error}") from None


def _over(defaults: Mapping[str, Any], url: RedisUrl) -> Options:
    if url.is_socket:
        defaults = {name: value for name, value in defaults.items() if name != "socket_keepalive"}
    return {**defaults, **url.options}


def _timeouts(options: Mapping[str, Any]) -> Options:
    return {name: value for name, value in options.items() if name.startswith("socket_")}


def _ssl(url: RedisUrl) -> Options | None:
    """Return the TLS options. By default redis-py checks the certificate, and kombu does not."""
    if not url.is_encrypted:
        return None
    given = {name: value for name, value in url.options.items() if name.startswith("ssl_")}
    return {"ssl_cert_reqs": "required", **given}


def _login(url: RedisUrl) -> str:
    user, password = url.options.get("username", ""), url.options.get("password", "")
    return f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{quote(host)}:{port}"
