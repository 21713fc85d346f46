"""`pointledger mcp` needs the HTTP API's URL and one token, and no server of the ledger."""

import importlib.util
import os
import signal
import subprocess
import sys

import pytest

from tests.cli.conftest import run_app

URL, TOKEN, FILE = "POINTLEDGER_URL", "POINTLEDGER_TOKEN", "POINTLEDGER_TOKEN_FILE"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({TOKEN: "secret"}, URL),
        ({URL: "127.0.0.1:8000", TOKEN: "secret"}, URL),
        ({URL: "http://[::1", TOKEN: "secret"}, URL),
        ({URL: "http://127.0.0.1:8000"}, TOKEN),
        ({URL: "http://127.0.0.1:8000", TOKEN: "", FILE: ""}, TOKEN),
        ({URL: "http://127.0.0.1:8000", TOKEN: "secret", FILE: "token"}, FILE),
    ],
)
def test_a_missing_setting_of_the_mcp_server_is_named(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], named: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    failed = run_app("mcp")
    assert (failed.status, failed.stdout) == (1, "")
    assert named in failed.stderr
    assert "secret" not in failed.stderr


def test_without_its_extra_the_mcp_server_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "pointledger.cli.operations.mcp.find_spec", lambda name: None if name == "mcp" else find(name)
    )
    failed = run_app("mcp", "--url", "http://127.0.0.1:8000")
    assert failed.status == 1
    assert "pip install 'pointledger[mcp]'" in failed.stderr


def test_ctrl_c_ends_the_mcp_server_while_it_waits_for_a_question() -> None:
    hello = b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n'
    environ = os.environ | {URL: "http://127.0.0.1:8000", TOKEN: "secret"}
    command = [sys.executable, "-m", "pointledger.cli", "mcp"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ) as server:
        assert server.stdin
        assert server.stdout
        server.stdin.write(hello)
        server.stdin.flush()
        assert server.stdout.readline()
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == -signal.SIGINT
