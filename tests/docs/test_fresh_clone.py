"""A reader with only this repository can follow the docs.

The README and the tutorial work in a fresh clone. The guides' programs run in environments that have only
the packages that a guide names.
"""

import re
from pathlib import Path

import httpx
import pytest
from kombu import Connection

from tests import environments
from tests.cli.conftest import Run
from tests.console.browsing import Html
from tests.docs.blocks import block
from tests.docs.conftest import ReadPage
from tests.docs.fresh_clone import FreshClone
from tests.docs.session import PageSession
from tests.ledger import Ledger
from tests.rabbitmq import RabbitMQ

pytestmark = pytest.mark.long

_TUTORIAL = ("first-points", "a-loyalty-program", "first-integration")  # in reading order
_CONSOLE = re.compile(r"The console: (http://127\.0\.0\.1:\d+/console)")
_EXPORT = re.compile(r"export (POINTLEDGER_\w+)=(\S+)")


def test_the_readme_and_the_tutorial_work_in_a_fresh_clone(tmp_path: Path) -> None:
    clone = FreshClone(tmp_path)
    try:
        run = clone.start(block("sh clone", "./dev run").strip())
        printed = clone.wait_for(run, "Ctrl-C stops it")
        exports = dict(_EXPORT.findall(printed))
        api = re.findall(r"curl .*(http://127\.0\.0\.1:\d+)", printed)[0]
        assert set(exports) == {f"POINTLEDGER_{name}_URL" for name in ("DATABASE", "REDIS", "OWNER")}
        _one_click_logs_in(_CONSOLE.findall(printed)[0])
        # The command line finds the folder's servers without the exports; other programs need them.
        _read_page("docs/tutorial/first-points.md", clone, api, {})
        for page in ("README.md", *(f"docs/tutorial/{name}.md" for name in _TUTORIAL[1:])):
            _read_page(page, clone, api, exports)
    finally:
        clone.stop()


def _one_click_logs_in(console: str) -> None:
    """Log in to the console as `./dev run` offers it, and see the grocer's members."""
    with httpx.Client(follow_redirects=True) as browser:
        people = browser.get(console)
        members = browser.get(people.url.join(Html(people.text).links["Demo support"]))
    assert members.url.path == "/console/grocer/members"
    assert any(name.startswith("household-") for name in Html(members.text).links)


def _read_page(page: str, clone: FreshClone, api: str, exports: dict[str, str]) -> None:
    session = PageSession(
        clone.folder,
        clone.environment(**exports),
        {"http://127.0.0.1:8000": api},
        clone.folder / ".venv" / "bin" / "python",
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
def test_a_guides_python_needs_only_what_the_guide_names(page: str, environment: str, read: ReadPage) -> None:
    read(page, environments.python(environment))


def test_the_guides_javascript_sends_an_event(
    ledger: Ledger, run: Run, rabbitmq: RabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (producers,) = re.findall(
        r"producers.json <<'EOF'\n(.*?)EOF", block("sh", "producers.json <<"), re.DOTALL
    )
    monkeypatch.setenv("POINTLEDGER_INGEST_KEYS", producers)
    monkeypatch.setenv("POINTLEDGER_EVENTS_URL", rabbitmq.url)
    run("ingest", "--once")  # declares the queue
    (secret,) = re.findall(r'"secret": "(.*?)"', producers)
    FreshClone.script(
        "node",
        block("js cloudevents-js").replace("amqp://127.0.0.1", rabbitmq.url),
        "--input-type=module",
        folder=environments.node("cloudevents-js"),
        SECRET=secret,
    )
    with Connection(rabbitmq.url) as connection:
        assert connection.default_channel.queue_declare("points.ingest", passive=True).message_count == 1
    assert run("ingest", "--once", "--json").json == {"accepted": 1, "dead": 0, "deferred": 0}
