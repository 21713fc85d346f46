"""The edge on raw sockets: cases 108 to 113 of the corpus, and how many may ask how often."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from pointledger.api import server
from pointledger.api.schemas import body as bodies
from pointledger.settings import Settings
from tests.api.issuer import Issuer
from tests.api.served import Served, http_settings, serving

HEAD = b"POST /points/anna/earn HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ")[1]) if answer else 0


def authorised(served: Served) -> bytes:
    return HEAD + f"Authorization: Bearer {served.till}\r\n".encode()


@pytest.mark.parametrize(
    "rest",
    [
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: 1e3\r\n\r\n",
        b"X-Folded: a\r\n b\r\n\r\n",
        b"X-Bare: a\nY: b\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"X-Nul: a\x00b\r\n\r\n",
        b"X-Idempotency-Key: a\rb\r\n\r\n",
        b": no name\r\n\r\n",
        b"Bad Name: x\r\n\r\n",
    ],
)
def test_109_what_two_servers_could_read_differently_is_400_and_the_end(served: Served, rest: bytes) -> None:
    assert status_of(served.raw(authorised(served) + rest)) == 400


def test_2_a_scheme_without_a_token_is_401(served: Served) -> None:
    sent = b"GET /points/anna HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \r\nConnection: close\r\n\r\n"
    assert status_of(served.raw(sent)) == 401


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /points/" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n", 414),
        (b"GET /points/" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n", 414),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 40_000 + b"\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 100_000 + b"\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X-Many: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 1000, 431),
    ],
    ids=["an address", "a long address", "a header", "a long header", "many headers"],
)
def test_110_what_is_too_large_is_told_so(served: Served, sent: bytes, status: int) -> None:
    assert status_of(served.raw(sent + b"Connection: close\r\n\r\n")) == status


def test_110_who_does_not_come_to_an_end_is_not_waited_for(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_HEADER_SECONDS", 0.2)
    monkeypatch.setattr(bodies, "_MOST_SECONDS", 0.2)
    assert served.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n") == b""
    assert served.raw(b"") == b""
    slow = authorised(served) + b"Content-Length: 100\r\n\r\n{"
    assert status_of(served.raw(slow)) == 408


def test_111_an_address_in_a_header_is_believed_by_nobody(served: Served) -> None:
    headers = {"Host": "evil.example", "X-Forwarded-For": "1.2.3.4", "X-Forwarded-Host": "evil.example"}
    answer = served.client.get("/points/anna", headers=headers)
    assert answer.status_code == 401
    assert "evil" not in answer.text + str(answer.headers)


def test_113_a_body_that_is_too_large_is_refused_before_it_is_sent(served: Served) -> None:
    sent = authorised(served) + b"Expect: 100-continue\r\nContent-Length: 10000000\r\n\r\n"
    answer = served.raw(sent)
    assert status_of(answer) == 413
    assert b"100 Continue" not in answer


def test_a_body_without_its_length_is_bounded_too(served: Served) -> None:
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    assert (
        status_of(served.raw(authorised(served) + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 3)) == 413
    )


# ------------------------------------------------------------------------------- how often, and how many


@contextmanager
def refusing(database_url: str) -> Iterator[None]:
    """While it lasts, the database takes no connections and has ended those that it had."""
    server_url, _, name = database_url.rpartition("/")
    with psycopg.connect(f"{server_url}/postgres", autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        yield
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


@pytest.fixture
def small(settings: Settings, issuer: Issuer, folder: Path) -> Callable[..., Settings]:
    return lambda **given: http_settings(settings, issuer, folder, **given)


def test_112_who_asks_too_often_is_told_when_to_come_again_and_nobody_else_is(
    small: Callable[..., Settings], issuer: Issuer
) -> None:
    with serving(small(http_user_rate=2), issuer) as served:
        served.ledger.tenant()
        anna, ben = issuer.user("anna"), issuer.user("ben")
        statuses = [served.get("/points/anna", anna).status_code for _ in range(20)]
        assert statuses[:4] == [404] * 4
        assert 429 in statuses
        answer = served.get("/points/anna", anna)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert served.get("/points/ben", ben).status_code == 404
        assert served.get("/points/anna", served.till).status_code == 404  # another principal


def test_112_limits_hold_without_redis_too_and_what_comes_is_accepted(
    small: Callable[..., Settings], issuer: Issuer
) -> None:
    given = small(http_user_rate=2, redis_url="redis://127.0.0.1:1/0", http_wait_seconds=10)
    with serving(given, issuer) as served:
        served.ledger.tenant()
        assert served.get("/readyz").status_code == 200
        answer = served.post("/points/anna/earn", served.till, {"amount": 5})
        assert (answer.status_code, answer.json()["data"]["points_earned"]) == (200, 5)
        anna = issuer.user("anna")
        statuses = {served.get("/points/anna", anna).status_code for _ in range(20)}
        assert statuses == {200, 429}


def test_who_sends_bad_tokens_is_told_to_come_later_and_good_ones_pass(
    small: Callable[..., Settings], issuer: Issuer
) -> None:
    with serving(small(http_stranger_rate=1), issuer) as served:
        served.ledger.tenant()
        statuses = [served.get("/points/anna", "a.b.c").status_code for _ in range(30)]
        assert (statuses[0], statuses[-1]) == (401, 429)
        assert served.get("/points/anna", served.till).status_code == 404


def test_more_at_once_than_may_be_is_503_but_for_those_who_look_after_us(
    small: Callable[..., Settings], issuer: Issuer
) -> None:
    with serving(small(http_concurrency=1), issuer) as served:
        served.ledger.tenant()
        waiting = authorised(served) + b"Content-Length: 100\r\n\r\n{"
        with socket.create_connection(("127.0.0.1", served.port)) as busy:
            busy.sendall(waiting)
            give_up_at = time.monotonic() + 20
            while (answer := served.get("/points/anna", served.till)).status_code != 503:
                assert time.monotonic() < give_up_at
            assert answer.headers["retry-after"] == "1"
            assert served.get("/healthz").status_code == 200


def test_without_the_database_it_is_503_and_asks_to_come_again(
    small: Callable[..., Settings], issuer: Issuer
) -> None:
    with serving(small(), issuer, working=False) as served:
        served.ledger.tenant()
        assert served.get("/readyz").status_code == 200
        with refusing(served.ledger.settings.owner):
            for answer in (
                served.get("/points/anna", served.till),
                served.post("/points/anna/earn", served.till, {"amount": 5}),
                served.get("/readyz"),
            ):
                assert answer.status_code == 503, answer.text
                assert answer.headers["retry-after"] == "1"
            assert served.get("/healthz").status_code == 200
        assert served.get("/readyz").status_code == 200
