"""A URL can require TLS for each connection, and clients refuse untrusted certificates."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa
from amqp.exceptions import AMQPError
from psycopg import OperationalError as DriverError

from pointledger import Earn, PointsClient
from pointledger.client.backlog import Backlog
from pointledger.events import broker
from pointledger.messaging import redis_client
from pointledger.messaging.celery_app import producer_app
from pointledger.messaging.contract import LANES_QUEUE
from pointledger.settings import Settings
from pointledger.storage.database import engine_for
from tests.ledger import Ledger
from tests.observability.tls import certificate, in_front_of

REQUIRED = "ssl_cert_reqs=required&ssl_ca_certs={}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return certificate(tmp_path)


@pytest.fixture
def encrypted(ledger: Ledger, file: Path) -> Iterator[Settings]:
    """Settings that reach the same servers through TLS."""
    database, cache = sa.make_url(ledger.settings.database), sa.make_url(ledger.settings.redis)
    assert database.port
    assert cache.port
    with in_front_of(database.port, file) as postgres, in_front_of(cache.port, file) as valkey:
        checked = {"sslmode": "verify-full", "sslrootcert": str(file), "sslnegotiation": "direct"}
        secure = database.set(host="127.0.0.1", port=postgres).update_query_dict(checked)
        password = f":{cache.password}@" if cache.password else ""
        yield ledger.settings.model_copy(
            update={
                "database_url": secure.render_as_string(hide_password=False),
                "redis_url": f"rediss://{password}127.0.0.1:{valkey}/{cache.database}?{REQUIRED.format(file)}",
            }
        )


def test_postgres_redis_and_celerys_broker_work_encrypted(ledger: Ledger, encrypted: Settings) -> None:
    with PointsClient.connect(encrypted) as client:
        task_id = client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=5))
        ledger.drain()
        assert client.wait(task_id, 30).state == "applied"
    assert redis_client.connect(encrypted).ping()
    key = f"{ledger.settings.redis_prefix}:{LANES_QUEUE}"
    assert ledger.redis.llen(key) == 1, "the doorbell rang through TLS"
    assert Backlog(engine_for(encrypted.database), encrypted).status().waiting == 0


def test_a_server_with_an_untrusted_certificate_is_refused(encrypted: Settings, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = certificate(tmp_path / "other")
    (tmp_path / other.name).write_bytes(other.read_bytes())  # the URLs' CA file no longer fits the servers
    with pytest.raises(sa.exc.OperationalError, match="certificate verify failed"):
        engine_for(encrypted.database).connect()
    with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
        redis_client.connect(encrypted).ping()
    with (
        producer_app(encrypted).connection_for_write() as doorbells,
        pytest.raises(redis.ConnectionError, match="certificate verify failed"),
    ):
        doorbells.transport.establish_connection()  # `send_task` tries again for six seconds


def test_a_certificate_for_another_address_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    file = certificate(tmp_path, "192.0.2.1")
    database = sa.make_url(ledger.settings.database)
    assert database.port
    with in_front_of(database.port, file) as port:
        checked = {"sslmode": "verify-full", "sslrootcert": str(file), "sslnegotiation": "direct"}
        url = database.set(host="127.0.0.1", port=port).update_query_dict(checked)
        with pytest.raises((sa.exc.OperationalError, DriverError), match="does not match"):
            engine_for(url.render_as_string(hide_password=False)).connect()


@pytest.mark.parametrize(("address", "is_trusted"), [("127.0.0.1", True), ("192.0.2.1", False)])
def test_rabbitmqs_certificate_must_match_its_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, is_trusted: bool
) -> None:
    file = certificate(tmp_path, address)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as rabbit, in_front_of(rabbit.getsockname()[1], file) as port:

        def listen() -> None:
            with suppress(OSError):
                opened, _ = rabbit.accept()
                received.append(opened.recv(4))
                opened.close()

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        url = f"amqps://me:secret@127.0.0.1:{port}//"
        settings = Settings(redis_url="redis://127.0.0.1:1/0", broker_url=url)
        for connection in (broker.connect(url), producer_app(settings).connection_for_write()):
            with connection, pytest.raises((OSError, AMQPError)):
                connection.transport.establish_connection()  # `connect` tries again two seconds later
            if is_trusted:
                listener.join(60)
                assert received == [b"AMQP"], "the handshake succeeded, and the client spoke AMQP"
                return
    assert received == []
