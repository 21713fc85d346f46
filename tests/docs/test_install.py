"""The commands of the page about installing work on servers without a ledger."""

import json
import os
import re
import secrets
import shlex
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from pointledger.embedded import ServerUrls
from tests.api.issuer import ISSUER, Issuer
from tests.api.processes import environ_of, process
from tests.databases import fresh_database, settings_of
from tests.docs.fresh_clone import run_program

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operate" / "install.md").read_text()
PROCESSES = re.findall(r"^\| [\w ]+ \| `([^`]+)` \|", PAGE, re.MULTILINE)
_PORT_OPTIONS = [
    ["--port", "0"] if "serve" in command else [] for command in PROCESSES
]  # because another process may use the default port
_SECONDS = 60


def _run(command: str, env: dict[str, str], stdin: str = "") -> str:
    return run_program(shlex.split(command), ROOT, env, stdin)


@pytest.mark.long
def test_the_processes_of_the_page_start_on_migrated_servers_and_apply_a_command(
    servers: ServerUrls, redis_url: str, tmp_path: Path
) -> None:
    assert len(PROCESSES) == 5
    with fresh_database(servers, f"installed_{secrets.token_hex(4)}") as owner_url, ExitStack() as stack:
        settings = settings_of(servers, owner_url, redis_url)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        of_api = {"POINTLEDGER_HTTP_ISSUER": ISSUER, "POINTLEDGER_HTTP_KEYS": Issuer().write(tmp_path)}
        env = environ_of(settings) | of_api | {"PATH": path}

        _run("pointledger migrate", env | {"POINTLEDGER_OWNER_URL": owner_url})
        started = [
            stack.enter_context(
                process([*shlex.split(command), *_PORT_OPTIONS[number]], tmp_path / f"log-{number}", env)
            )
            for number, command in enumerate(PROCESSES)
        ]
        _run("pointledger tenant put -", env, '{"tenant_id": "shop"}')
        earn = shlex.quote('{"tenant_id": "shop", "user_id": "anna", "amount": 5}')
        outcome = json.loads(_run(f"pointledger enqueue earn {earn} --wait {_SECONDS} --json", env))

        assert outcome["state"] == "applied"
        assert [each.poll() for each in started] == [None] * len(PROCESSES)
        _run("pointledger doctor", env)


@pytest.mark.parametrize("folder", ["workers", "schedules"])
def test_the_commands_of_the_page_are_those_of_the_folders(folder: str) -> None:
    readme = (ROOT / folder / "README.md").read_text()
    ((own, celerys),) = re.findall(r"^```\n(pointledger .*)\n(celery .*)\n```", readme, re.MULTILINE)
    assert own in PROCESSES
    assert f"`{celerys.replace(folder, f'pointledger.apps.{folder}', 1)}`" in PAGE
