"""A Redis URL means the same to the client, to the workers' broker and to the HTTP API."""

import ssl
from typing import Any

import pytest
from kombu import Connection

from pointledger.errors import NotConfigured
from pointledger.messaging import redis_client
from pointledger.messaging.celery_app import broker_for_kombu, celery_settings, producer_app
from pointledger.settings import Settings

SETTING = "POINTLEDGER_REDIS_URL"
SENTINELS = "sentinel://u:p%40ss@a:26379,b,[::1]:26381/3?service=points&sentinel_password=other"


def settings_of(url: str, **more: Any) -> Settings:
    return Settings(**{"redis_url": url, "broker_url": None, **more})


def of_kombu(url: str, *, channel: bool = True) -> dict[str, Any]:
    """Return the parameters of kombu's connections to Redis."""
    broker = broker_for_kombu(url, SETTING)
    with Connection(
        broker.url, transport_options=broker.transport_options, ssl=broker.ssl or False
    ) as opened:
        transport = opened.transport
        channel_class = transport.Channel
        bare = object.__new__(channel_class)
        bare.connection = transport
        return dict(channel_class._connparams(bare))


SAME: dict[str, dict[str, Any]] = {
    "redis://:p%40ss@h:6380/1": {"host": "h", "port": 6380, "db": 1, "password": "p@ss"},
    "redis://u:p%2Fs@h?db=2": {"host": "h", "db": 2, "username": "u", "password": "p/s"},
    "valkey://h/4": {"host": "h", "db": 4},
    "unix:///run/v.sock?db=5&password=p": {"path": "/run/v.sock", "db": 5, "password": "p"},
    "unix://u:p%40s@/run/v.sock": {"path": "/run/v.sock", "username": "u", "password": "p@s"},
    "socket:///run/v.sock?virtual_host=6": {"path": "/run/v.sock", "db": 6},
    "rediss://h:6380/0?ssl_ca_certs=/ca": {"host": "h", "port": 6380, "ssl_ca_certs": "/ca"},
}


@pytest.mark.parametrize("url", SAME)
def test_a_url_means_the_same_to_redis_py_and_to_kombu(url: str) -> None:
    with redis_client.connect(settings_of(url)) as client:
        of_client = client.connection_pool.connection_kwargs
    aio = redis_client.connect_asyncio(settings_of(url), 1.0, 1.0).connection_pool.connection_kwargs
    kombu = of_kombu(url)
    for name, value in SAME[url].items():
        assert (of_client.get(name), aio.get(name), kombu.get(name)) == (value, value, value), name


@pytest.mark.parametrize(
    ("query", "required"),
    [("", "required"), ("?ssl_cert_reqs=required", "required"), ("?ssl_cert_reqs=none", "none")],
)
def test_a_certificate_is_verified_unless_the_url_says_otherwise(query: str, required: str) -> None:
    assert of_kombu(f"rediss://h/0{query}")["ssl_cert_reqs"] == required
    with redis_client.connect(settings_of(f"rediss://h/0{query}")) as client:
        context = client.connection_pool.make_connection().cert_reqs
    assert context == {"required": ssl.CERT_REQUIRED, "none": ssl.CERT_NONE}[required]


def test_sentinels_are_asked_by_every_kind_of_client() -> None:
    hosts = [("a", 26379), ("b", 26379), ("::1", 26381)]
    pools: list[Any] = [
        redis_client.connect(settings_of(SENTINELS)).connection_pool,
        redis_client.connect_asyncio(settings_of(SENTINELS), 1.0, 1.0).connection_pool,
    ]
    for pool in pools:
        assert pool.service_name == "points"
        options = pool.connection_kwargs
        assert [options[name] for name in ("username", "password", "db")] == ["u", "p@ss", 3]
        asked = [one.connection_pool.connection_kwargs for one in pool.sentinel_manager.sentinels]
        assert [(one["host"], one["port"]) for one in asked] == hosts
        assert {one["password"] for one in asked} == {"other"}
    conf = celery_settings(settings_of(SENTINELS))
    assert conf["broker_url"].split(";") == [
        f"sentinel://u:p%40ss@{host}/3" for host in ("a:26379", "b:26379", "[::1]:26381")
    ]
    options = conf["broker_transport_options"]
    assert options["master_name"] == "points"
    assert options["sentinel_kwargs"]["password"] == "other"
    assert options["visibility_timeout"], "Redis' own options count for Sentinel, too"


def test_options_in_the_url_replace_the_ledgers_own() -> None:
    url = "redis://h/0?socket_timeout=9&health_check_interval=30"
    with redis_client.connect(settings_of(url)) as client:
        found = client.connection_pool.connection_kwargs
    conf = celery_settings(settings_of(url))["broker_transport_options"]
    for options in (found, conf):
        assert (options["socket_timeout"], options["health_check_interval"]) == (9, 30)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis+cluster://h", "Redis Cluster is not supported"),
        ("rediss-cluster://h", "Redis Cluster is not supported"),
        ("redis://h:port/0", "redis://user:password@host:6379/0"),
        ("redis://h:99999/0", "redis://user:password@host:6379/0"),
        ("redis://h/first", "the database is a number"),
        ("redis://h/0?sockt_timeout=1", "'sockt_timeout'"),
        ("redis://h/0?socket_timeout=soon", "redis://user:password@host:6379/0"),
        ("unix://", "name the socket"),
        ("sentinel://h:26379/0", "service=mymaster"),
        ("sentinel://a:26379;sentinel://b:26379/0?service=m", "by commas"),
        ("sentinel://a:port/0?service=m", "by commas"),
        ("sentinel://a/0?service=m&sentinel_pasword=x", "'sentinel_pasword'"),
        ("http://h", "sentinel://user:password@host:26379"),
    ],
)
@pytest.mark.parametrize("name", ["redis_url", "broker_url"])
def test_a_malformed_url_is_refused_with_the_settings_name(url: str, message: str, name: str) -> None:
    if (url, name) == ("http://h", "broker_url"):
        message = "amqp://host:5672//"
    settings = settings_of("redis://h", **{name: url})
    with pytest.raises(NotConfigured, match=f"POINTLEDGER_{name.upper()}") as refused:
        redis_client.connect(settings)
        producer_app(settings)
    assert message in str(refused.value)
