"""Clients of other versions and languages, each in a clean environment without this project."""

import json
import re
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection
from redis import Redis

from tests import environments
from tests.docs.blocks import block
from tests.integrations.running import HERE, SECONDS, RunningLedger

pytestmark = pytest.mark.long

VERSIONS = ("celery53", "celery54", "celery55", "celery56", "celery57")
REFUSED = {
    "expired": "EXPIRED",
    "pickled": "NOT_JSON",
    "misspelt": "UNKNOWN_TASK",
    "without a field": "INVALID_COMMAND",
    "by position": "POSITIONAL_ARGUMENTS",
}


def ran(*command: str | Path, folder: Path = HERE) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environments.clean_environ(),
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_every_supported_celery_version_gets_an_outcome_for_every_message(
    running: RunningLedger, version: str
) -> None:
    python = environments.python(version)
    outcomes: dict[str, dict[str, Any]] = json.loads(
        ran(python, "client_program.py", running.broker, running.results)
    )
    assert len(outcomes) > 20
    refused = {way: each["reason"] for way, each in outcomes.items() if each["state"] != "applied"}
    assert refused == REFUSED
    assert running.lists() == {}


def test_the_guides_python_example_works(running: RunningLedger, tmp_path: Path) -> None:
    script = tmp_path / "guide.py"
    lines = block("python", "result = app.send_task(")
    lines = lines.replace('broker="redis://127.0.0.1:6379/0"', f'broker="{running.broker}"')
    script.write_text(lines.replace("redis://127.0.0.1:6379/0", running.results))
    assert ran(environments.python("celery57"), script) == "applied\n"


def test_the_guides_node_example_works(running: RunningLedger, tmp_path: Path) -> None:
    folder = environments.node("celery-node")
    lines = block("js celery-node").replace(
        "createClient(redis, redis,", f'createClient("{running.broker}", redis,'
    )
    script = tmp_path / "guide.js"
    script.write_text(lines.replace("redis://127.0.0.1:6379/0", running.results))
    (tmp_path / "node_modules").symlink_to(folder / "node_modules")
    assert ran("node", script, folder=tmp_path) == "applied\n"


def test_the_guides_handwritten_message_is_a_command(running: RunningLedger) -> None:
    task_id = str(uuid.uuid4())
    message = re.sub(r'"id": "[0-9a-f-]{36}"', f'"id": "{task_id}"', block("json CeleryMessage"))
    if running.is_redis:
        with Redis.from_url(running.broker) as client:
            client.lpush("points.commands", message)
    else:
        written = json.loads(message)
        with Connection(running.broker) as connection:
            connection.Producer().publish(
                written["body"],
                routing_key="points.commands",
                content_type="application/json",
                content_encoding="utf-8",
                headers=written["headers"],
            )
    assert running.ledger.client.wait(task_id, SECONDS).state == "applied"
