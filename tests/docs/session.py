"""Somebody who reads a page from top to bottom, does what each block says, and looks at what comes of it."""

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from redis import Redis
from sybil import Example

from pointledger.domain.events.producers import producers_from
from pointledger.domain.program.rule import rule_from
from pointledger.domain.program.tenant import tenant_from
from pointledger.domain.values.json_values import read_json
from tests.docs.blocks import Block, document_of
from tests.docs.comparing import same_json, same_text
from tests.waiting import wait_until

_SECONDS = 60
_INTERPRETER = Path(__file__).with_name("interpreter.py")


class Session:
    """`folder` is where the reader works, `environ` what was exported there, `addresses` where the servers
    are whose usual addresses the pages name. `python` is the reader's interpreter."""

    def __init__(
        self, folder: Path, environ: Mapping[str, str], addresses: Mapping[str, str], python: str | Path
    ) -> None:
        self._folder = folder
        self._environ = dict(environ)
        self._programs = self._environ["PATH"].partition(os.pathsep)[0]
        self._addresses = addresses
        self._python_program = python
        self._python: subprocess.Popen[str] | None = None
        self._started: list[subprocess.Popen[bytes]] = []
        self._exported = folder / ".exported"
        self._exported.touch()
        self.printed = ""

    def read(self, page: str) -> None:
        """Does all that the page says; raises what Sybil raises, with the block's place, at the first that
        does not come to what the page says."""
        for example in document_of(page, self._evaluate).examples():
            example.evaluate()

    def close(self) -> None:
        """Ends what the page started."""
        for process in self._started:
            process.terminate()
            process.wait(_SECONDS)
        if self._python and self._python.stdin:
            self._python.stdin.close()
            self._python.wait(_SECONDS)

    def _evaluate(self, example: Example) -> str | None:
        block: Block = example.parsed
        if block.info not in FATES:
            return f"no fate for a block {block.info!r}: see FATES in {Path(__file__).name}"
        try:
            FATES[block.info](self, block)
        except AssertionError as error:
            return f"{error}\n\nthe block says:\n{block.text}"
        return None

    # ------------------------------------------------------------------------------------ fates of blocks

    def run_python(self, block: Block) -> None:
        if self._python is None:
            self._python = subprocess.Popen(
                [str(self._python_program), str(_INTERPRETER)],
                cwd=self._folder,
                env=self._environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._python.stdin
        assert self._python.stdout
        self._python.stdin.write(json.dumps(self._addressed(block.text)) + "\n")
        self._python.stdin.flush()
        reply = json.loads(self._python.stdout.readline())
        assert reply["failure"] is None, reply["printed"] + reply["failure"]
        self.printed = reply["printed"]

    def run_shell(self, block: Block) -> None:
        """What a block exports or assigns is there in the next one."""
        text = self._addressed(block.text)
        around = f"set -aeuo pipefail; . {self._exported}\n{text}\nexport -p > {self._exported}"
        done = subprocess.run(
            ["bash", "-c", around],
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            check=False,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
        assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"
        self.printed = done.stdout

    def start_process(self, block: Block) -> None:
        """Each line is a process that goes on."""
        for line in filter(None, map(str.strip, self._addressed(block.text).splitlines())):
            # Without the first folder, which has the preloaded pointledger: no signal would reach that.
            command = f". {self._exported}; PATH=${{PATH#{self._programs}:}}; exec {line}"
            self._started.append(
                subprocess.Popen(["bash", "-aec", command], cwd=self._folder, env=self._environ)
            )

    def compare_text(self, block: Block) -> None:
        difference = same_text(block.text, self._printed_usually())
        assert difference is None, difference

    def compare_json(self, block: Block) -> None:
        difference = same_json(json.loads(block.text), json.loads(self._last_document()))
        assert difference is None, difference

    def check_shell(self, block: Block) -> None:
        done = subprocess.run(["bash", "-n"], input=block.text, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def check_python(self, block: Block) -> None:
        compile(block.text, "the page", "exec")

    def check_toml(self, block: Block) -> None:
        tomllib.loads(block.text)

    def check_json(self, block: Block) -> None:
        json.loads(block.text)

    def check_tenant(self, block: Block) -> None:
        tenant_from(read_json(block.text))

    def check_rule(self, block: Block) -> None:
        rule_from(read_json(block.text, decimals=True))

    def check_producers(self, block: Block) -> None:
        producers_from(read_json(block.text))

    def push_message(self, block: Block) -> None:
        """By an LPUSH, which any client of Redis does."""
        with Redis.from_url(self._addresses["redis://127.0.0.1:6379/0"]) as redis:
            redis.lpush("points.commands", block.text)
        ask = f"pointledger outcome {json.loads(block.text)['headers']['id']} --json || true"

        def is_applied() -> bool:
            self.run_shell(block._replace(text=ask))
            return bool(json.loads(self.printed)["state"] == "applied")

        wait_until(is_applied, "the command of the message is applied")

    def is_run_elsewhere(self, block: Block) -> None:
        """By a test that finds it by its language: `block` in blocks.py."""

    def is_only_read(self, block: Block) -> None:
        """By people."""

    # ------------------------------------------------------------------------------------------- addresses

    def _addressed(self, text: str) -> str:
        """The text with this machine's addresses in place of the usual ones."""
        for usual, ours in self._addresses.items():
            text = text.replace(usual, ours)
        return text

    def _printed_usually(self) -> str:
        text = self.printed
        for usual, ours in self._addresses.items():
            text = text.replace(ours, usual)
        return text

    def _last_document(self) -> str:
        """The JSON that was printed: all of it, or the last line where each line is a document."""
        text = self._printed_usually()
        text = re.sub(r"\AHTTP/.*?\r?\n\r?\n", "", text, flags=re.DOTALL)
        return text if _is_json(text) else text.strip().splitlines()[-1]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


Fate = Callable[[Session, Block], None]
FATES: dict[str, Fate] = {
    "python": Session.run_python,
    "python no-run": Session.check_python,
    "sh": Session.run_shell,
    "sh process": Session.start_process,
    "sh clone": Session.check_shell,  # test_stranger.py runs it in a fresh clone
    "sh rabbitmq": Session.check_shell,  # so does a test with RabbitMQ
    "sh no-run": Session.check_shell,
    "text": Session.is_only_read,
    "text output": Session.compare_text,
    "json output": Session.compare_json,
    "json example": Session.check_json,
    "json Tenant": Session.check_tenant,
    "json RuleBody": Session.check_rule,
    "json CeleryMessage": Session.push_message,
    "json Producers": Session.check_producers,
    "js celery-node": Session.is_run_elsewhere,
    "js cloudevents-js": Session.is_run_elsewhere,
    "nginx": Session.is_run_elsewhere,
    "haproxy": Session.is_run_elsewhere,
    "sql no-run": Session.is_only_read,
    "toml no-run": Session.check_toml,
}
