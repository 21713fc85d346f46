"""What a stranger can do with this repository and nothing else of ours: start it from a fresh clone, read the
README and the tutorial, and send from an environment that has only what a guide names."""

import re
from pathlib import Path

import pytest
from kombu import Connection

from tests import environments
from tests.cli.conftest import Run
from tests.docs.blocks import block
from tests.docs.conftest import Read
from tests.docs.session import Session
from tests.docs.stranger import Stranger
from tests.ledger import Ledger
from tests.rabbitmq import RabbitMQ

pytestmark = pytest.mark.long

_TUTORIAL = ("first-points", "a-loyalty-program", "first-integration")  # as a stranger reads it
_EXPORT = re.compile(r"export (POINTLEDGER_\w+)=(\S+)")


def test_a_fresh_clone_does_what_the_readme_and_the_tutorial_show(tmp_path: Path) -> None:
    stranger = Stranger(tmp_path)
    try:
        run = stranger.start(block("sh clone", "./dev run").strip())
        printed = stranger.wait_for(run, "Ctrl-C stops it")
        exports = dict(_EXPORT.findall(printed))
        api = re.findall(r"curl .*(http://127\.0\.0\.1:\d+)", printed)[0]
        assert set(exports) == {f"POINTLEDGER_{name}_URL" for name in ("DATABASE", "REDIS", "OWNER")}
        # The command line finds the servers of the folder by itself; programs are told.
        _read("docs/tutorial/first-points.md", stranger, api, {})
        for page in ("README.md", *(f"docs/tutorial/{name}.md" for name in _TUTORIAL[1:])):
            _read(page, stranger, api, exports)
    finally:
        stranger.stop()


def _read(page: str, stranger: Stranger, api: str, exports: dict[str, str]) -> None:
    session = Session(
        stranger.folder,
        stranger.environment(**exports),
        {"http://127.0.0.1:8000": api},
        stranger.folder / ".venv" / "bin" / "python",
    )
    try:
        session.read(page)
    finally:
        session.close()


@pytest.mark.parametrize(
    ("page", "environment"),
    [
        ("docs/guides/enqueue-commands.md", "client"),
        ("docs/guides/celery-by-name.md", "celery57"),
        ("docs/guides/receive-events.md", "cloudevents"),
        ("docs/guides/send-events.md", "celery57"),
    ],
)
def test_a_guides_python_needs_only_what_the_guide_names(page: str, environment: str, read: Read) -> None:
    read(page, environments.python(environment))


def test_the_guides_javascript_sends_an_event(
    ledger: Ledger, run: Run, rabbitmq: RabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (producers,) = re.findall(
        r"producers.json <<'EOF'\n(.*?)EOF", block("sh", "producers.json <<"), re.DOTALL
    )
    monkeypatch.setenv("POINTLEDGER_INGEST_KEYS", producers)
    monkeypatch.setenv("POINTLEDGER_EVENTS_URL", rabbitmq.url)
    run("ingest", "--once")  # its queue is there
    (secret,) = re.findall(r'"secret": "(.*?)"', producers)
    Stranger.script(
        "node",
        block("js cloudevents-js").replace("amqp://127.0.0.1", rabbitmq.url),
        "--input-type=module",
        folder=environments.node("cloudevents-js"),
        SECRET=secret,
    )
    with Connection(rabbitmq.url) as connection:
        assert connection.default_channel.queue_declare("points.ingest", passive=True).message_count == 1
    assert run("ingest", "--once", "--json").json == {"accepted": 1, "dead": 0, "deferred": 0}
