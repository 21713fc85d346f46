"""HTTP as other clients send it: upgrade headers, HEAD, byte order marks.

The requests of Java's HttpClient (17) and of curl were recorded.
"""

import json
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.environment import ApiEnvironment
from tests.api.processes import run
from tests.environments import clean_environ

User = Callable[[], str]

BODY = b'{"amount": 5}'
MARK = b"\xef\xbb\xbf"

JAVA = (
    "{method} {path} HTTP/1.1\r\n"
    "Connection: Upgrade, HTTP2-Settings\r\n"
    "Content-Length: {length}\r\n"
    "Host: 127.0.0.1:8000\r\n"
    "HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\n"
    "Upgrade: h2c\r\n"
    "User-Agent: Java-http-client/17.0.15\r\n"
    "Authorization: Bearer {token}\r\n"
    "Content-Type: application/json\r\n\r\n"
)
CURL = (
    "{method} {path} HTTP/1.1\r\n"
    "Host: 127.0.0.1:8000\r\n"
    "Authorization: Bearer {token}\r\n"
    "User-Agent: curl/7.88.1\r\n"
    "Accept: application/json\r\n"
    "Connection: Upgrade, HTTP2-Settings\r\n"
    "Upgrade: h2c\r\n"
    "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: {length}\r\n\r\n"
)


@pytest.fixture
def connection(api: ApiEnvironment) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", api.port), timeout=30) as connection:
        yield connection


def request_bytes(
    head: str, api: ApiEnvironment, path: str, body: bytes = b"", method: str = "POST"
) -> bytes:
    parts = {"method": method, "path": path, "token": api.till, "length": len(body)}
    return head.format(**parts).encode() + body


def read_response(connection: socket.socket) -> tuple[int, bytes]:
    """Read the status and body of the next response."""
    reader = connection.makefile("rb", buffering=0)
    status, length = int(reader.readline().split()[1]), 0
    while (header := reader.readline()) != b"\r\n":
        name, _, value = header.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    body = b""
    while len(body) < length:
        body += reader.read(length - len(body)) or b""
    return status, body


@pytest.mark.parametrize("head", [JAVA, CURL], ids=["Java", "curl --http2"])
def test_an_upgrade_header_is_ignored_and_the_body_kept(
    api: ApiEnvironment, connection: socket.socket, user: User, head: str
) -> None:
    anna = user()
    for balance in (5, 10):  # a client that was not upgraded reuses the connection
        connection.sendall(request_bytes(head, api, f"/points/{anna}/earn", BODY))
        status, body = read_response(connection)
        assert (status, json.loads(body)["data"]["account"]["balance"]) == (200, balance)


def test_a_body_in_pieces_after_an_upgrade_header_is_read_completely(
    api: ApiEnvironment, connection: socket.socket, user: User
) -> None:
    whole = request_bytes(JAVA, api, f"/points/{user()}/earn", BODY)
    for end in range(0, len(whole), 7):
        connection.sendall(whole[end : end + 7])
    assert read_response(connection)[0] == 200


def test_a_chunked_body_after_an_upgrade_header_is_read_completely(
    api: ApiEnvironment, connection: socket.socket, user: User
) -> None:
    head = JAVA.replace("Content-Length: {length}", "Transfer-Encoding: chunked")
    chunks = b"6\r\n" + BODY[:6] + b"\r\n7\r\n" + BODY[6:] + b"\r\n0\r\n\r\n"
    connection.sendall(request_bytes(head, api, f"/points/{user()}/earn", chunks))
    assert read_response(connection)[0] == 200


def test_pipelined_requests_with_upgrade_headers_are_answered_in_order(
    api: ApiEnvironment, connection: socket.socket, user: User
) -> None:
    anna, ben = user(), user()
    first, last = f"/points/{anna}/earn", f"/points/{ben}/earn"
    get_account = request_bytes(JAVA, api, f"/points/{anna}", method="GET")
    connection.sendall(
        request_bytes(JAVA, api, first, BODY) + get_account + request_bytes(JAVA, api, last, BODY)
    )
    shown = [json.loads(read_response(connection)[1])["data"] for _ in range(3)]
    assert [shown[0]["account"]["user_id"], shown[1]["user_id"], shown[1]["balance"]] == [anna, anna, 5]
    assert shown[2]["account"]["user_id"] == ben


def test_109_an_upgrade_header_does_not_bypass_the_strict_parser(api: ApiEnvironment) -> None:
    head = JAVA.replace("Content-Length: {length}", "Content-Length: 5\r\nTransfer-Encoding: chunked")
    received = api.raw(request_bytes(head, api, "/points/canary/earn", b"0\r\n\r\n"))
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1") == 1


def test_connect_and_malformed_http_are_400(api: ApiEnvironment) -> None:
    for sent in (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"HELO there\r\n\r\n"):
        received = api.raw(sent)
        assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert json.loads(received.partition(b"\r\n\r\n")[2])["code"] == 400


def test_head_gets_the_response_of_get_without_the_body(api: ApiEnvironment, user: User) -> None:
    anna = user()
    api.earn(anna, 5)
    cases = [
        ("/healthz", None, 200),
        ("/readyz", None, 200),
        ("/openapi.json", None, 200),
        (f"/points/{anna}", api.till, 200),
        (f"/points/{anna}/transactions", api.till, 200),
        (f"/points/{user()}", api.till, 404),
        (f"/points/{anna}", None, 401),
        (f"/points/{anna}/earn", api.till, 405),
    ]
    for path, token, status in cases:
        head, get = api.call("HEAD", path, token), api.get(path, token)
        assert (head.status_code, get.status_code, head.content) == (status, status, b""), path
        lengths = [int(response.headers["content-length"]) for response in (head, get)]
        assert abs(lengths[0] - lengths[1]) < 10  # a timestamp without microseconds is shorter
        assert head.headers["content-type"] == get.headers["content-type"]


def test_an_unknown_method_is_405_and_the_response_names_the_supported_ones(api: ApiEnvironment) -> None:
    for path, allowed in (
        ("/points/anna", "GET, HEAD"),
        ("/points/anna/earn", "POST"),
        ("/admin/points/config", "GET, HEAD, PUT"),
        ("/admin/point-rules/test", "POST"),
    ):
        response = api.call("PATCH", path, api.admin)
        assert (response.status_code, response.headers["allow"]) == (405, allowed), path
    for method in ("GET", "PUT", "DELETE", "HEAD"):  # methods of the route for a rule
        assert api.call(method, "/admin/point-rules/test", api.admin).status_code == 405


def test_36_one_byte_order_mark_before_the_body_is_skipped(api: ApiEnvironment, user: User) -> None:
    def sent(content: bytes) -> httpx.Response:
        headers = {"Authorization": f"Bearer {api.till}", "Content-Type": "application/json"}
        return api.client.post(f"/points/{user()}/earn", content=content, headers=headers)

    assert sent(MARK + BODY).status_code == 200
    for content in (MARK, MARK + MARK + BODY, BODY + MARK, BODY.decode().encode("utf-16")):
        assert sent(content).status_code == 400


# ---------------------------------------------------------------------------------- real clients


def test_urllib_earns_and_looks_up(api: ApiEnvironment, user: User) -> None:
    anna, headers = user(), {"Authorization": f"Bearer {api.till}", "Content-Type": "application/json"}
    earn = urllib.request.Request(f"{api.url}/points/{anna}/earn", BODY, headers)
    with urllib.request.urlopen(earn) as response:
        assert json.load(response)["data"]["points_earned"] == 5
    look = urllib.request.Request(f"{api.url}/points/{anna}", headers=headers, method="HEAD")
    with urllib.request.urlopen(look) as response:
        assert (response.status, response.read()) == (200, b"")


@pytest.mark.long
def test_curl_offers_http2_sends_head_and_reuses_its_connection(api: ApiEnvironment, user: User) -> None:
    address, token = f"{api.url}/points/{user()}", f"Authorization: Bearer {api.till}"
    curl = ["curl", "--silent", "--show-error", "--fail", "--header", token]
    options = ["--http2", "--json", BODY.decode(), f"{address}/earn", f"{address}/earn"]
    output = run([*curl, *options, "--write-out", "\n%{http_version} %{num_connects}\n"]).splitlines()
    assert [json.loads(body)["data"]["account"]["balance"] for body in (output[0], output[2])] == [
        5,
        10,
    ]
    assert (output[1], output[3]) == ("1.1 1", "1.1 0")
    assert run([*curl, "--head", address]).startswith("HTTP/1.1 200 OK")


@pytest.mark.long
def test_nodes_fetch_earns_and_looks_up(api: ApiEnvironment, user: User, folder: Path) -> None:
    program = folder / "fetch.mjs"
    program.write_text("""
        const [url, token] = process.argv.slice(2);
        const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
        const earned = await fetch(`${url}/earn`, { method: "POST", headers, body: '{"amount": 5}' });
        const head = await fetch(url, { method: "HEAD", headers });
        const account = await (await fetch(url, { headers })).json();
        console.log(earned.status, head.status, (await head.text()).length, account.data.balance);
    """)
    output = run(["node", program, f"{api.url}/points/{user()}", api.till], env=clean_environ())
    assert output.split() == ["200", "200", "0", "5"]
