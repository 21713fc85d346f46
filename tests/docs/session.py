"""Follows a page from top to bottom: runs each block and compares the output with the page."""

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
from tests.docs.comparing import json_difference, text_difference
from tests.waiting import wait_until

_SECONDS = 60
_INTERPRETER = Path(__file__).with_name("interpreter.py")


class PageSession:
    """A reader's session on one page.

    `folder` is the reader's working directory, `environ` the exported variables, and `python` the reader's
    interpreter. `addresses` maps the addresses on the pages to those of this system.
    """

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
        """Run every block. Raises Sybil's error, with the block's line, at the first block that differs."""
        for example in document_of(page, self._evaluate).examples():
            example.evaluate()

    def close(self) -> None:
        """Stop the processes that the page started."""
        for process in self._started:
            process.terminate()
            process.wait(_SECONDS)
        if self._python and self._python.stdin:
            self._python.stdin.close()
            self._python.wait(_SECONDS)

    def _evaluate(self, example: Example) -> str | None:
        block: Block = example.parsed
        if block.info not in BLOCK_HANDLERS:
            return f"no handler for a block {block.info!r}: see BLOCK_HANDLERS in {Path(__file__).name}"
        try:
            BLOCK_HANDLERS[block.info](self, block)
        except AssertionError as error:
            return f"{error}\n\nthe block:\n{block.text}"
        return None

    # --------------------------------------------------------------------------------- block handlers

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
        """Run a block. The next block has the variables that it exports or assigns."""
        text = self._addressed(block.text)
        script = f"set -aeuo pipefail; . {self._exported}\n{text}\nexport -p > {self._exported}"
        done = subprocess.run(
            ["bash", "-c", script],
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
        """Start each line as a process that keeps running."""
        for line in filter(None, map(str.strip, self._addressed(block.text).splitlines())):
            # Not from the first folder: a signal would not reach the preloaded pointledger.
            command = f". {self._exported}; PATH=${{PATH#{self._programs}:}}; exec {line}"
            self._started.append(
                subprocess.Popen(["bash", "-aec", command], cwd=self._folder, env=self._environ)
            )

    def compare_text(self, block: Block) -> None:
        difference = text_difference(block.text, self._printed_as_shown())
        assert difference is None, difference

    def compare_json(self, block: Block) -> None:
        difference = json_difference(json.loads(block.text), json.loads(self._last_document()))
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
        """Send the message with LPUSH, as any Redis client can."""
        with Redis.from_url(self._addresses["redis://127.0.0.1:6379/0"]) as redis:
            redis.lpush("points.commands", block.text)
        query = f"pointledger outcome {json.loads(block.text)['headers']['id']} --json || true"

        def is_applied() -> bool:
            self.run_shell(block._replace(text=query))
            return bool(json.loads(self.printed)["state"] == "applied")

        wait_until(is_applied, "the command of the message is applied")

    def run_in_another_test(self, block: Block) -> None:
        """Do nothing: another test runs the block and finds it with `blocks.block`."""

    def skip(self, block: Block) -> None:
        """Do nothing: only people read the block."""

    # ------------------------------------------------------------------------------------------- addresses

    def _addressed(self, text: str) -> str:
        """Return the text with this system's addresses in place of the page's."""
        for shown, actual in self._addresses.items():
            text = text.replace(shown, actual)
        return text

    def _printed_as_shown(self) -> str:
        """Return the output with the page's addresses."""
        text = self.printed
        for shown, actual in self._addresses.items():
            text = text.replace(actual, shown)
        return text

    def _last_document(self) -> str:
        """Return the printed JSON: the whole output, or the last line if each line is a document."""
        text = self._printed_as_shown()
        text = re.sub(r"\AHTTP/.*?\r?\n\r?\n", "", text, flags=re.DOTALL)
        return text if _is_json(text) else text.strip().splitlines()[-1]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


BlockHandler = Callable[[PageSession, Block], None]
BLOCK_HANDLERS: dict[str, BlockHandler] = {
    "python": PageSession.run_python,
    "python no-run": PageSession.check_python,
    "sh": PageSession.run_shell,
    "sh process": PageSession.start_process,
    "sh clone": PageSession.check_shell,  # test_fresh_clone.py runs it in a fresh clone
    "sh rabbitmq": PageSession.check_shell,  # a test with RabbitMQ runs it
    "sh no-run": PageSession.check_shell,
    "text": PageSession.skip,
    "text output": PageSession.compare_text,
    "json output": PageSession.compare_json,
    "json example": PageSession.check_json,
    "json Tenant": PageSession.check_tenant,
    "json RuleBody": PageSession.check_rule,
    "json CeleryMessage": PageSession.push_message,
    "json Producers": PageSession.check_producers,
    "js celery-node": PageSession.run_in_another_test,
    "js cloudevents-js": PageSession.run_in_another_test,
    "nginx": PageSession.run_in_another_test,
    "haproxy": PageSession.run_in_another_test,
    "sql no-run": PageSession.skip,
    "toml no-run": PageSession.check_toml,
}
