"""In Flask, a command belongs to the request's session, and workers are notified at its commit."""

import json
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from pointledger.errors import NotConfigured, SettingsInvalid
from pointledger.frameworks.flask import Points
from tests.client.accepting import earn, in_journal, rings
from tests.ledger import Ledger

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture
def session(ledger: Ledger) -> scoped_session[Session]:
    return scoped_session(sessionmaker(ledger.database))


@pytest.fixture
def points(session: scoped_session[Session]) -> Points:
    return Points(session=session)


@pytest.fixture
def app(ledger: Ledger, session: scoped_session[Session], points: Points) -> Iterator[Flask]:
    """An app made by a factory, which commits a request's session unless the path says no."""
    app = Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = sa.make_url(ledger.settings.database)
    app.config["POINTLEDGER_REDIS_URL"] = ledger.settings.redis
    points.init_app(app)

    @app.post("/<end>")
    def pay(end: str) -> list[str]:
        task_ids = [points.enqueue(earn()), *points.enqueue_many([earn(), earn()])]
        assert points.client.outcome(task_ids[0]).state == "unknown"
        if end == "commit":
            session.commit()
        return task_ids

    @app.teardown_appcontext
    def remove(_: BaseException | None) -> None:
        session.remove()

    yield app
    with app.app_context():
        points.client.close()


def test_a_request_that_commits_accepts_and_rings(ledger: Ledger, app: Flask) -> None:
    task_ids = app.test_client().post("/commit").get_json()
    assert (in_journal(ledger), rings(ledger)) == (task_ids, 1)


def test_a_request_that_does_not_commit_accepts_nothing(ledger: Ledger, app: Flask) -> None:
    assert len(app.test_client().post("/leave").get_json()) == 3
    assert (in_journal(ledger), rings(ledger)) == ([], 0)
    committed = app.test_client().post("/commit").get_json()
    assert in_journal(ledger) == committed


def test_a_savepoint_that_is_rolled_back_takes_only_its_own_commands(
    ledger: Ledger, app: Flask, points: Points, session: scoped_session[Session]
) -> None:
    with app.app_context():
        kept = points.enqueue(earn())
        with pytest.raises(RuntimeError, match="voucher"), session.begin_nested():
            points.enqueue(earn())
            raise RuntimeError("the voucher has expired")
        session.commit()
    assert in_journal(ledger) == [kept]


def test_the_command_is_the_command_line_with_the_apps_settings(ledger: Ledger, app: Flask) -> None:
    task_id = app.test_client().post("/commit").get_json()[0]
    ledger.drain()
    runner = app.test_cli_runner()
    shown = runner.invoke(args=["pointledger", "outcome", task_id, "--json"])
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["state"] == "applied"
    assert runner.invoke(args=["pointledger", "account", "shop", "nobody"]).exit_code == 1
    assert "flask pointledger" in runner.invoke(args=["pointledger", "--help"]).stdout


def test_an_app_without_servers_starts_and_says_what_is_missing_at_the_first_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("POINTLEDGER_DATABASE_URL", raising=False)
    app, points = Flask("shop"), Points()
    points.init_app(app)
    with app.app_context(), pytest.raises(NotConfigured, match="POINTLEDGER_DATABASE_URL"):
        _ = points.client
    app.config["POINTLEDGER_REDIS"] = "redis://127.0.0.1/0"
    with app.app_context(), pytest.raises(SettingsInvalid, match="POINTLEDGER_REDIS"):
        _ = points.client


def test_points_without_a_session_say_so(ledger: Ledger) -> None:
    app = Flask("shop")
    app.config["POINTLEDGER_DATABASE_URL"] = ledger.settings.database
    app.config["POINTLEDGER_REDIS_URL"] = ledger.settings.redis
    points = Points(app)
    with app.app_context():
        with pytest.raises(RuntimeError, match="without a session"):
            points.enqueue(earn())
        points.client.close()
