"""HTTP as clients of other languages write it: offers to upgrade, HEAD, byte order marks. The bytes of Java's
HttpClient (17) and of curl are theirs."""

import json
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.running import run
from tests.api.served import Served
from tests.environments import stranger

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
def line(served: Served) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        yield connection


def asked(head: str, served: Served, path: str, body: bytes = b"", method: str = "POST") -> bytes:
    told = {"method": method, "path": path, "token": served.till, "length": len(body)}
    return head.format(**told).encode() + body


def answer(line: socket.socket) -> tuple[int, bytes]:
    """The next answer's status and body."""
    reader = line.makefile("rb", buffering=0)
    status, length = int(reader.readline().split()[1]), 0
    while (header := reader.readline()) != b"\r\n":
        name, _, value = header.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    body = b""
    while len(body) < length:
        body += reader.read(length - len(body)) or b""
    return status, body


@pytest.mark.parametrize("head", [JAVA, CURL], ids=["Java", "curl --http2"])
def test_an_offer_to_upgrade_is_ignored_and_the_body_kept(
    served: Served, line: socket.socket, user: User, head: str
) -> None:
    anna = user()
    for balance in (5, 10):  # on one connection, as a client that was not upgraded goes on
        line.sendall(asked(head, served, f"/points/{anna}/earn", BODY))
        status, body = answer(line)
        assert (status, json.loads(body)["data"]["account"]["balance"]) == (200, balance)


def test_a_body_that_comes_in_pieces_after_an_offer_is_whole(
    served: Served, line: socket.socket, user: User
) -> None:
    whole = asked(JAVA, served, f"/points/{user()}/earn", BODY)
    for end in range(0, len(whole), 7):
        line.sendall(whole[end : end + 7])
    assert answer(line)[0] == 200


def test_a_chunked_body_after_an_offer_is_whole(served: Served, line: socket.socket, user: User) -> None:
    head = JAVA.replace("Content-Length: {length}", "Transfer-Encoding: chunked")
    chunks = b"6\r\n" + BODY[:6] + b"\r\n7\r\n" + BODY[6:] + b"\r\n0\r\n\r\n"
    line.sendall(asked(head, served, f"/points/{user()}/earn", chunks))
    assert answer(line)[0] == 200


def test_offers_that_come_all_at_once_are_answered_in_turn(
    served: Served, line: socket.socket, user: User
) -> None:
    anna, ben = user(), user()
    first, last = f"/points/{anna}/earn", f"/points/{ben}/earn"
    looked = asked(JAVA, served, f"/points/{anna}", method="GET")
    line.sendall(asked(JAVA, served, first, BODY) + looked + asked(JAVA, served, last, BODY))
    shown = [json.loads(answer(line)[1])["data"] for _ in range(3)]
    assert [shown[0]["account"]["user_id"], shown[1]["user_id"], shown[1]["balance"]] == [anna, anna, 5]
    assert shown[2]["account"]["user_id"] == ben


def test_109_an_offer_hides_nothing_from_the_strict_reader(served: Served) -> None:
    head = JAVA.replace("Content-Length: {length}", "Content-Length: 5\r\nTransfer-Encoding: chunked")
    received = served.raw(asked(head, served, "/points/canary/earn", b"0\r\n\r\n"))
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1") == 1


def test_a_tunnel_is_refused_and_so_is_what_is_no_http(served: Served) -> None:
    for sent in (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"HELO there\r\n\r\n"):
        received = served.raw(sent)
        assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert json.loads(received.partition(b"\r\n\r\n")[2])["code"] == 400


def test_head_is_answered_as_get_without_the_body(served: Served, user: User) -> None:
    anna = user()
    served.earn(anna, 5)
    cases = [
        ("/healthz", None, 200),
        ("/readyz", None, 200),
        ("/openapi.json", None, 200),
        (f"/points/{anna}", served.till, 200),
        (f"/points/{anna}/transactions", served.till, 200),
        (f"/points/{user()}", served.till, 404),
        (f"/points/{anna}", None, 401),
        (f"/points/{anna}/earn", served.till, 405),
    ]
    for path, token, status in cases:
        head, get = served.call("HEAD", path, token), served.get(path, token)
        assert (head.status_code, get.status_code, head.content) == (status, status, b""), path
        lengths = [int(answered.headers["content-length"]) for answered in (head, get)]
        assert abs(lengths[0] - lengths[1]) < 10  # a moment's microseconds may be none
        assert head.headers["content-type"] == get.headers["content-type"]


def test_an_unknown_method_is_405_and_the_answer_names_those_that_there_are(served: Served) -> None:
    for path, allowed in (
        ("/points/anna", "GET, HEAD"),
        ("/points/anna/earn", "POST"),
        ("/admin/points/config", "GET, HEAD, PUT"),
        ("/admin/point-rules/test", "POST"),
    ):
        answered = served.call("PATCH", path, served.admin)
        assert (answered.status_code, answered.headers["allow"]) == (405, allowed), path
    for method in ("GET", "PUT", "DELETE", "HEAD"):  # which are a rule's, beside it
        assert served.call(method, "/admin/point-rules/test", served.admin).status_code == 405


def test_36_one_byte_order_mark_before_the_body_is_skipped(served: Served, user: User) -> None:
    def sent(content: bytes) -> httpx.Response:
        headers = {"Authorization": f"Bearer {served.till}", "Content-Type": "application/json"}
        return served.client.post(f"/points/{user()}/earn", content=content, headers=headers)

    assert sent(MARK + BODY).status_code == 200
    for content in (MARK, MARK + MARK + BODY, BODY + MARK, BODY.decode().encode("utf-16")):
        assert sent(content).status_code == 400


# ---------------------------------------------------------------------------------- clients themselves


def test_urllib_earns_and_looks_up(served: Served, user: User) -> None:
    anna, headers = user(), {"Authorization": f"Bearer {served.till}", "Content-Type": "application/json"}
    earn = urllib.request.Request(f"{served.url}/points/{anna}/earn", BODY, headers)
    with urllib.request.urlopen(earn) as answered:
        assert json.load(answered)["data"]["points_earned"] == 5
    look = urllib.request.Request(f"{served.url}/points/{anna}", headers=headers, method="HEAD")
    with urllib.request.urlopen(look) as answered:
        assert (answered.status, answered.read()) == (200, b"")


@pytest.mark.long
def test_curl_offers_http2_asks_for_heads_and_goes_on_with_its_connection(served: Served, user: User) -> None:
    address, token = f"{served.url}/points/{user()}", f"Authorization: Bearer {served.till}"
    curl = ["curl", "--silent", "--show-error", "--fail", "--header", token]
    sent = ["--http2", "--json", BODY.decode(), f"{address}/earn", f"{address}/earn"]
    told = run([*curl, *sent, "--write-out", "\n%{http_version} %{num_connects}\n"]).splitlines()
    assert [json.loads(line)["data"]["account"]["balance"] for line in (told[0], told[2])] == [5, 10]
    assert (told[1], told[3]) == ("1.1 1", "1.1 0")
    assert run([*curl, "--head", address]).startswith("HTTP/1.1 200 OK")


@pytest.mark.long
def test_nodes_fetch_earns_and_looks_up(served: Served, user: User, folder: Path) -> None:
    program = folder / "fetch.mjs"
    program.write_text("""
        const [url, token] = process.argv.slice(2);
        const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
        const earned = await fetch(`${url}/earn`, { method: "POST", headers, body: '{"amount": 5}' });
        const head = await fetch(url, { method: "HEAD", headers });
        const account = await (await fetch(url, { headers })).json();
        console.log(earned.status, head.status, (await head.text()).length, account.data.balance);
    """)
    told = run(["node", program, f"{served.url}/points/{user()}", served.till], env=stranger())
    assert told.split() == ["200", "200", "0", "5"]
