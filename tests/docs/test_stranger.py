"""Every block of the README is run as a stranger would: with what the text names, against a system that was
started by documented commands. Nothing of ours is imported where the text has nothing of ours."""

import json
import re
import secrets
import shlex
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from pointledger.embedded import ServerUrls
from tests import environments
from tests.databases import fresh_database
from tests.docs.stranger import ROOT, Block, Stranger, blocks_of
from tests.rabbitmq import RabbitMQ
from tests.waiting import wait_until

pytestmark = pytest.mark.long

REDIS = "redis://127.0.0.1:6379/0"
ERASURE_KEY = {"POINTLEDGER_ERASURE_KEY": "at least 16 characters of randomness"}


class Reader:
    """Somebody who reads the README from top to bottom and does what it says, block by block."""

    def __init__(self, folder: Path, rabbitmq: RabbitMQ, own_database: str) -> None:
        self.stranger = Stranger(folder)
        self.rabbitmq = rabbitmq
        self.own_database = own_database
        self.python: list[str] = []  # the lines of Python of one section, which belong together
        self.heard: dict[str, Any] = {}

    def json(self, line: str, given: dict[str, str] | None = None) -> Any:
        """What a line of shell prints as JSON."""
        return json.loads(self.stranger.shell(f"{line} --json", given))

    def addressed(self, text: str) -> str:
        """The text with the addresses that `./dev run` has printed."""
        database = self.stranger.addresses["DATABASE_URL"]
        told = text.replace(REDIS, self.stranger.addresses["REDIS_URL"])
        told = told.replace("postgresql+psycopg://user:password@host/database", _with_driver(database))
        return told.replace("http://127.0.0.1:8000", self.stranger.gateway)

    def servers(self) -> dict[str, str]:
        return {f"POINTLEDGER_{name}": url for name, url in self.stranger.addresses.items()}

    def apply(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The outcome of a command that was sent by the command line, and applied."""
        told = json.dumps({"tenant_id": "shop", "user_id": "anna", **fields})
        outcome: dict[str, Any] = self.json(f"pointledger enqueue {kind} {shlex.quote(told)} --wait 20")
        assert outcome["state"] == "applied", outcome
        return outcome

    # ------------------------------------------------------------------------------------- the blocks

    def runs(self, block: Block) -> None:
        system = self.stranger.start(block.text.strip(), **ERASURE_KEY)
        told = self.stranger.wait_for(system, "Ctrl-C stops it")
        self.stranger.addresses = dict(re.findall(r"export POINTLEDGER_(\w+)=(\S+)", told))
        self.stranger.gateway = re.findall(r"curl .*(http://127\.0\.0\.1:\d+)", told)[0]
        assert set(self.stranger.addresses) == {"DATABASE_URL", "REDIS_URL"}

    def in_shell(self, block: Block) -> None:
        self.stranger.shell(block.text)

    def puts_a_rule(self, block: Block) -> None:
        self.stranger.shell("pointledger rule put shop -", stdin=block.text)

    def goes_on(self, block: Block) -> None:
        """Lines that the section's last block belongs to."""
        self.python.append(block.text)

    def uses_the_client(self, block: Block) -> None:
        script = self.addressed("\n".join([*self.python, block.text]))
        told = self.stranger.script(
            environments.python("client"), script, folder=self.stranger.folder.parent, **self.servers()
        )
        assert re.fullmatch(r"applied \d+\n", told), told

    def sends_from_the_shell(self, block: Block) -> None:
        before = self.json("pointledger account shop anna")["total_earned"]
        self.stranger.shell(block.text)
        assert self.json("pointledger account shop anna")["total_earned"] == before + 150

    def looks_up(self, block: Block) -> None:
        hold = self.apply("freeze", amount=5)
        self.apply("wallet-adjust", type="deposit", amount="5.00", reason="a complaint")
        ids = {"outcome": hold["task_id"], "hold": hold["data"]["hold_id"]}
        entry = hold["data"]["transactions"][0]["id"]
        for line in block.text.splitlines():
            asked = line.split("#")[0].strip()
            command = asked.split()[1]
            # The shop's points are no money: that is told, and by the status, too.
            status = 1 if command == "value" else 0
            told = self.stranger.shell(asked.replace("01M7YS...", ids.get(command, entry)), status=status)
            assert told or command in ("expiring", "limits", "value"), asked

    def sends_by_celery(self, block: Block) -> None:
        told = self.stranger.script(
            environments.python("celery57"), self.addressed(block.text), folder=self.stranger.folder.parent
        )
        assert told == "applied\n"

    def sends_by_node(self, block: Block) -> None:
        folder = environments.node("celery-node")
        assert self.stranger.script("node", self.addressed(block.text), folder=folder) == "applied\n"

    def writes_a_message(self, block: Block) -> None:
        """By an LPUSH, which any client of Redis does."""
        script = (
            f"from redis import Redis\nRedis.from_url({REDIS!r}).lpush('points.commands', {block.text!r})"
        )
        self.stranger.script(
            environments.python("celery57"), self.addressed(script), folder=self.stranger.folder.parent
        )
        task_id = json.loads(block.text)["headers"]["id"]
        ask = f"pointledger outcome {task_id} --json || true"
        wait_until(
            lambda: json.loads(self.stranger.shell(ask))["state"] == "applied", "the command is applied"
        )

    def sets_a_policy(self, block: Block) -> None:
        program, *arguments = shlex.split(block.text)
        assert program == "rabbitmqctl"
        self.rabbitmq.control(*arguments)

    def shows_an_event(self, block: Block) -> None:
        self.heard = json.loads(block.text)

    def hears(self, block: Block) -> None:
        config = json.dumps({"tenant_id": "shop", "timezone": "Europe/Berlin", "events": "all"})
        self.stranger.shell("pointledger tenant put -", stdin=config)
        self.stranger.start("pointledger relay")
        self.apply("earn", amount=3)
        script = self.addressed(block.text) + "\n        print(json.dumps(event_of['last']))\n"
        script = script.replace("heard = set()", "event_of = {}\nheard = set()")
        script = script.replace(
            "        message.ack()", "        event_of['last'] = event\n        message.ack()"
        )
        told = self.stranger.script(
            environments.python("celery57"), script, folder=self.stranger.folder.parent
        )
        line, event = told.splitlines()
        assert line.startswith("anna points.earned ")
        assert _shape(self.heard) <= _shape(json.loads(event))

    def sends_an_event(self, block: Block) -> None:
        before = self.json("pointledger account shop anna")["total_earned"]
        self.stranger.start("pointledger intake", **self._keys())
        self.stranger.script(
            environments.python("cloudevents"), self.addressed(block.text), folder=self.stranger.folder.parent
        )
        wait_until(
            lambda: self.json("pointledger account shop anna")["total_earned"] > before, "the event counts"
        )

    def sends_an_event_from_node(self, block: Block) -> None:
        keys = self._keys() | {"POINTLEDGER_EVENTS_URL": self.rabbitmq.url}
        self.stranger.shell("pointledger intake --once", keys)
        secret = re.findall(r'secret = "(.*)"', "\n".join(each.text for each in README))[0]
        self.stranger.script(
            "node",
            block.text.replace("amqp://127.0.0.1", self.rabbitmq.url),
            "--input-type=module",
            folder=environments.node("cloudevents-js"),
            SECRET=secret,
        )
        with Connection(self.rabbitmq.url) as connection:
            assert connection.default_channel.queue_declare("points.intake", passive=True).message_count == 1
        assert self.json("pointledger intake --once", keys) == {"accepted": 1, "dead": 0, "held": 0}

    def _keys(self) -> dict[str, str]:
        """The file that the section describes."""
        (described,) = (each.text for each in README if '"producers"' in each.text)
        (self.stranger.folder / "producers.json").write_text(described)
        return {"POINTLEDGER_INTAKE_KEYS_FILE": "producers.json"}

    def is_used_already(self, block: Block) -> None:
        """By what was run before it."""
        assert block.text in (self.stranger.folder / "producers.json").read_text()

    def erases(self, block: Block) -> None:
        for line in self.stranger.shell("pointledger holds shop anna --state open --json").splitlines():
            self.apply("unfreeze", hold_id=json.loads(line)["id"])
        self.apply("wallet-adjust", type="withdraw", amount="5.00", reason="paid out")
        self.stranger.shell(block.text, ERASURE_KEY, stdin="y\n")
        assert "erased:" not in self.stranger.shell("pointledger account shop anna", status=1)

    def serves(self, block: Block) -> None:
        """With the key of `./dev run`'s own gateway in the place of a login service's."""
        token = (self.stranger.folder / ".data/http/token").read_text()
        port = _free_port()
        issuer = "pointledger-development"
        text = block.text.replace("https://login.example/jwks", ".data/http/jwks.json")
        text = text.replace("https://login.example", issuer).replace("--port 8000", f"--port {port}")
        exports, _, serve = text.strip().rpartition("\n")
        given = dict(re.findall(r"export (\w+)=(\S+)", exports))
        self.stranger.start(serve, **given, **self.servers())
        ask = f"curl -s -o /dev/null -w '%{{http_code}}' http://127.0.0.1:{port}"
        wait_until(lambda: self.stranger.shell(f"{ask}/readyz || true") == "200", "the gateway is ready")
        authorized = f"{ask}/points/household-900 -H 'Authorization: Bearer {token}'"
        assert self.stranger.shell(authorized) == "200"

    def asks_over_http(self, block: Block) -> None:
        told = self.stranger.shell(self.addressed(block.text))
        codes = re.findall(r'"code":(\d+)', told)
        assert len(codes) == block.text.count("curl ")
        assert set(codes) <= {"200", "201", "202"}, told
        self.heard = json.loads(told[: told.index("}{") + 1] if "}{" in told else told.splitlines()[0])

    def shows_an_answer(self, block: Block) -> None:
        assert _shape(json.loads(block.text)) <= _shape(self.heard)

    def is_run_behind_a_proxy(self, block: Block) -> None:
        """Proxies and certificates take a machine of their own: that test runs the README's blocks as they
        stand."""
        assert f'"{block.language}"' in (ROOT / "tests/api/test_proxies.py").read_text()

    def operates(self, block: Block) -> None:
        """On servers of one's own: a database that nobody has migrated, and a Redis that nobody uses."""
        given = self.servers()
        given["POINTLEDGER_REDIS_URL"] = given["POINTLEDGER_REDIS_URL"].rpartition("/")[0] + "/1"
        given["POINTLEDGER_DATABASE_URL"] = self.own_database
        given["POINTLEDGER_ALLOW_UNSAFE"] = '["postgres-durability"]'  # that Postgres is one of tests
        given |= self._keys()
        exported = re.findall(r"^export (\w+)=", block.text, re.MULTILINE)
        assert set(exported) <= set(given)
        _, *processes = [
            line.split("#")[0].strip() for line in block.text.splitlines() if not line.startswith("export")
        ]
        self.stranger.shell("pointledger migrate", given)
        started = [self.stranger.start(line, **given) for line in processes]
        self.stranger.shell("pointledger tenant put -", given, stdin='{"tenant_id": "mine"}')
        earn = '{"tenant_id": "mine", "user_id": "anna", "amount": 5}'
        assert self.json(f"pointledger enqueue earn '{earn}' --wait 60", given)["state"] == "applied"
        assert [process.poll() for process in started] == [None] * 4
        for readme in ("workers/README.md", "schedules/README.md"):
            assert {each.text.strip() for each in blocks_of((ROOT / readme).read_text())} <= set(processes)


README = blocks_of((ROOT / "README.md").read_text())

DOES: dict[tuple[str, str, int], Callable[[Reader, Block], None]] = {
    ("Run it", "", 0): Reader.runs,
    ("A programme", "sh", 0): Reader.in_shell,
    ("A programme", "json", 0): Reader.puts_a_rule,
    ("A programme", "json", 1): Reader.puts_a_rule,
    ("A programme", "sh", 1): Reader.in_shell,
    ("Enqueue", "python", 0): Reader.goes_on,
    ("Enqueue", "python", 1): Reader.goes_on,
    ("Enqueue", "python", 2): Reader.goes_on,
    ("Enqueue", "python", 3): Reader.uses_the_client,
    ("Enqueue", "sh", 0): Reader.sends_from_the_shell,
    ("Look up", "sh", 0): Reader.looks_up,
    ("Celery by name", "python", 0): Reader.sends_by_celery,
    ("Celery by name", "js", 0): Reader.sends_by_node,
    ("Celery by name", "json", 0): Reader.writes_a_message,
    ("Celery by name", "sh", 0): Reader.sets_a_policy,
    ("Events out", "json", 0): Reader.shows_an_event,
    ("Events out", "python", 0): Reader.hears,
    ("Events in", "python", 0): Reader.sends_an_event,
    ("Events in", "js", 0): Reader.sends_an_event_from_node,
    ("Events in", "json", 0): Reader.is_used_already,
    ("Erase", "sh", 0): Reader.erases,
    ("HTTP", "sh", 0): Reader.serves,
    ("HTTP", "sh", 1): Reader.asks_over_http,
    ("HTTP", "json", 0): Reader.shows_an_answer,
    ("Behind a proxy", "nginx", 0): Reader.is_run_behind_a_proxy,
    ("Behind a proxy", "haproxy", 0): Reader.is_run_behind_a_proxy,
    ("Operate", "sh", 0): Reader.operates,
}


def test_every_block_of_the_readme_does_what_it_says(
    tmp_path: Path, rabbitmq: RabbitMQ, servers: ServerUrls
) -> None:
    assert [block.key for block in README] == list(DOES)
    with fresh_database(servers, f"stranger_{secrets.token_hex(4)}") as own_database:
        reader = Reader(tmp_path, rabbitmq, own_database)
        try:
            for block in README:
                try:
                    DOES[block.key](reader, block)
                except BaseException as error:
                    error.add_note(f"the README's block {block.key}:\n{block.text}")
                    raise
        finally:
            reader.stranger.stop()


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def _with_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def _shape(value: Any, path: str = "") -> set[str]:
    """The paths of an object's fields."""
    if not isinstance(value, dict):
        return set()
    paths = {f"{path}.{name}" for name in value if name != "..."}
    return paths.union(*(_shape(inner, f"{path}.{name}") for name, inner in value.items() if name != "..."))
