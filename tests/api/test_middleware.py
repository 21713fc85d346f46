"""Middleware and rate limits on raw sockets: cases 108 to 113 of the corpus."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from pointledger.api import protocol
from pointledger.api.schemas import body as bodies
from pointledger.settings import Settings
from tests.api.environment import ApiEnvironment, http_settings, open_api
from tests.api.issuer import Issuer
from tests.waiting import wait_until

HEAD = b"POST /points/anna/earn HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ")[1]) if answer else 0


def authorized(api: ApiEnvironment) -> bytes:
    return HEAD + f"Authorization: Bearer {api.till}\r\n".encode()


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
def test_109_ambiguous_http_is_400_and_closes_the_connection(api: ApiEnvironment, rest: bytes) -> None:
    assert status_of(api.raw(authorized(api) + rest)) == 400


def test_2_a_scheme_without_a_token_is_401(api: ApiEnvironment) -> None:
    sent = b"GET /points/anna HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \r\nConnection: close\r\n\r\n"
    assert status_of(api.raw(sent)) == 401


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /points/" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n", 414),
        (b"GET /points/" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n", 414),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 40_000 + b"\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 100_000 + b"\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X-Many: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 1000, 431),
    ],
    ids=["a URL", "a long URL", "a header", "a long header", "many headers"],
)
def test_110_urls_and_headers_that_are_too_large_are_414_and_431(
    api: ApiEnvironment, sent: bytes, status: int
) -> None:
    assert status_of(api.raw(sent + b"Connection: close\r\n\r\n")) == status


def test_110_unfinished_requests_time_out(api: ApiEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_HEADER_SECONDS", 0.2)
    monkeypatch.setattr(bodies, "_READ_SECONDS", 0.2)
    assert api.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n") == b""
    assert api.raw(b"") == b""
    slow = authorized(api) + b"Content-Length: 100\r\n\r\n{"
    assert status_of(api.raw(slow)) == 408


def test_111_addresses_in_headers_are_not_trusted(api: ApiEnvironment) -> None:
    headers = {"Host": "evil.example", "X-Forwarded-For": "1.2.3.4", "X-Forwarded-Host": "evil.example"}
    answer = api.client.get("/points/anna", headers=headers)
    assert answer.status_code == 401
    assert "evil" not in answer.text + str(answer.headers)


def test_113_a_large_body_is_rejected_before_the_client_sends_it(api: ApiEnvironment) -> None:
    sent = authorized(api) + b"Expect: 100-continue\r\nContent-Length: 10000000\r\n\r\n"
    answer = api.raw(sent)
    assert status_of(answer) == 413
    assert b"100 Continue" not in answer


def test_a_chunked_body_is_limited_too(api: ApiEnvironment) -> None:
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    assert status_of(api.raw(authorized(api) + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 3)) == 413


# ------------------------------------------------------------------------------- rate and concurrency limits


@contextmanager
def database_refusing_connections(database_url: str) -> Iterator[None]:
    """Close all connections of the database, and refuse new ones within the block."""
    server_url, _, name = database_url.rpartition("/")
    with psycopg.connect(f"{server_url}/postgres", autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        yield
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


@pytest.fixture
def with_settings(settings: Settings, issuer: Issuer, folder: Path) -> Callable[..., Settings]:
    return lambda **changes: http_settings(settings, issuer, folder, **changes)


def test_112_a_principal_over_its_rate_gets_429_and_others_do_not(
    with_settings: Callable[..., Settings], issuer: Issuer
) -> None:
    with open_api(with_settings(http_user_rate=2), issuer) as api:
        api.ledger.tenant()
        anna, ben = issuer.user("anna"), issuer.user("ben")
        answers = (api.get("/points/anna", anna) for _ in range(200))
        assert [next(answers).status_code for _ in range(4)] == [404] * 4
        limited = next(answer for answer in answers if answer.status_code == 429)
        assert int(limited.headers["retry-after"]) >= 1
        assert api.get("/points/ben", ben).status_code == 404
        assert api.get("/points/anna", api.till).status_code == 404  # another principal


def test_112_without_redis_limits_still_apply_and_commands_are_accepted(
    with_settings: Callable[..., Settings], issuer: Issuer
) -> None:
    settings = with_settings(http_user_rate=2, redis_url="redis://127.0.0.1:1/0", http_wait_seconds=10)
    with open_api(settings, issuer) as api:
        api.ledger.tenant()
        assert api.get("/readyz").status_code == 200
        answer = api.post("/points/anna/earn", api.till, {"amount": 5})
        assert (answer.status_code, answer.json()["data"]["points_earned"]) == (200, 5)
        anna = issuer.user("anna")
        statuses = {api.get("/points/anna", anna).status_code for _ in range(20)}
        assert statuses == {200, 429}


def test_bad_tokens_are_limited_by_address_and_valid_ones_pass(
    with_settings: Callable[..., Settings], issuer: Issuer
) -> None:
    with open_api(with_settings(http_stranger_rate=1), issuer) as api:
        api.ledger.tenant()
        statuses = [api.get("/points/anna", "a.b.c").status_code for _ in range(30)]
        assert (statuses[0], statuses[-1]) == (401, 429)
        assert api.get("/points/anna", api.till).status_code == 404


def test_without_the_database_requests_are_503_with_retry_after(
    with_settings: Callable[..., Settings], issuer: Issuer
) -> None:
    with open_api(with_settings(), issuer, worker=False) as api:
        api.ledger.tenant()
        assert api.get("/readyz").status_code == 200
        with database_refusing_connections(api.ledger.settings.owner):
            for answer in (
                api.get("/points/anna", api.till),
                api.post("/points/anna/earn", api.till, {"amount": 5}),
                wait_for(lambda: api.get("/readyz"), 503),
            ):
                assert answer.status_code == 503, answer.text
                assert answer.headers["retry-after"] == "1"
            assert api.get("/healthz").status_code == 200
        wait_for(lambda: api.get("/readyz"), 200)


def wait_for(ask: Callable[[], httpx.Response], status: int) -> httpx.Response:
    """Ask until the answer has this status: readiness is up to a second old."""
    answers: list[httpx.Response] = []

    def has_it() -> bool:
        answers.append(ask())
        return answers[-1].status_code == status

    wait_until(has_it, f"the answer is {status}")
    return answers[-1]
