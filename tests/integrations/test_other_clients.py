"""Clients of other versions and languages, each in an environment of its own that has nothing of ours."""

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
from tests.integrations.house import HERE, ROOT, SECONDS, House

pytestmark = pytest.mark.long

README = (ROOT / "README.md").read_text()
VERSIONS = ("celery53", "celery54", "celery55", "celery56", "celery57")
REFUSED = {
    "expired": "EXPIRED",
    "pickled": "NOT_JSON",
    "misspelt": "UNKNOWN_TASK",
    "without a field": "INVALID_COMMAND",
    "by position": "POSITIONAL_ARGUMENTS",
}


def block(language: str, text: str) -> str:
    """The block of the README that has this text."""
    found = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return str(next(each for each in found if text in each))


def ran(*command: str | Path, folder: Path = HERE) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environments.stranger(),
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_a_service_with_any_celery_of_these_years_is_answered_whatever_it_sends(
    shop_house: House, version: str
) -> None:
    python = environments.python(version)
    told: dict[str, dict[str, Any]] = json.loads(
        ran(python, "plain.py", shop_house.broker, shop_house.results)
    )
    assert len(told) > 20
    assert {
        way: outcome["reason"] for way, outcome in told.items() if outcome["state"] != "applied"
    } == REFUSED
    assert shop_house.lists() == {}


def test_the_readmes_lines_of_python_send_and_get_a_command(shop_house: House, tmp_path: Path) -> None:
    script = tmp_path / "readme.py"
    lines = block("python", "from celery import Celery")
    lines = lines.replace('broker="redis://127.0.0.1:6379/0"', f'broker="{shop_house.broker}"')
    script.write_text(lines.replace("redis://127.0.0.1:6379/0", shop_house.results))
    assert ran(environments.python("celery57"), script) == "applied\n"


def test_the_readmes_lines_of_node_send_and_get_a_command(shop_house: House, tmp_path: Path) -> None:
    folder = environments.node("celery-node")
    lines = block("js", "celery-node").replace(
        "createClient(redis, redis,", f'createClient("{shop_house.broker}", redis,'
    )
    script = tmp_path / "readme.js"
    script.write_text(lines.replace("redis://127.0.0.1:6379/0", shop_house.results))
    (tmp_path / "node_modules").symlink_to(folder / "node_modules")
    assert ran("node", script, folder=tmp_path) == "applied\n"


def test_the_readmes_hand_written_message_is_a_command(shop_house: House) -> None:
    task_id = str(uuid.uuid4())
    message = re.sub(r'"id": "[0-9a-f-]{36}"', f'"id": "{task_id}"', block("json", '"task": "points.earn"'))
    if shop_house.is_redis:
        with Redis.from_url(shop_house.broker) as client:
            client.lpush("points.commands", message)
    else:
        written = json.loads(message)
        with Connection(shop_house.broker) as connection:
            connection.Producer().publish(
                written["body"],
                routing_key="points.commands",
                content_type="application/json",
                content_encoding="utf-8",
                headers=written["headers"],
            )
    assert shop_house.ledger.client.wait(task_id, SECONDS).state == "applied"
