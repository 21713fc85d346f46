"""Connections end within half a minute if the server vanishes silently."""

import socket

import pytest

from pointledger.settings import Settings
from pointledger.storage.database import driver, engine_for, limited_engine_for


@pytest.mark.parametrize("of", ["a client", "a worker"])
def test_the_kernel_detects_within_half_a_minute_that_postgres_vanished(settings: Settings, of: str) -> None:
    engine = engine_for(settings.database) if of == "a client" else limited_engine_for(settings)
    with engine.connect() as connection:
        tcp = socket.socket(fileno=driver(connection).fileno())
        names = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT]
        idle, interval, count, unanswered_ms = [tcp.getsockopt(socket.IPPROTO_TCP, name) for name in names]
        tcp.detach()
    engine.dispose()
    assert idle + interval * count <= 30
    assert 0 < unanswered_ms <= 30_000
