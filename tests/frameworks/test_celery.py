"""In the tasks of a Celery app, one client serves a process until it ends."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, signals
from sqlalchemy import orm

from pointledger.errors import ClientClosed
from pointledger.frameworks.celery import Points
from tests.client.accepting import earn, in_journal, rings
from tests.ledger import Ledger


@pytest.fixture
def points(ledger: Ledger) -> Iterator[Points]:
    app = Celery("shop", set_as_current=False)
    app.conf.pointledger_settings = ledger.settings
    made = Points(app)
    yield made
    made.client.close()


def pay(points: Points, ledger: Ledger, *, declined: bool) -> None:
    """Do what a task of the user's does."""
    with orm.Session(ledger.database) as session, session.begin():
        points.client.enqueue(earn(), session)
        if declined:
            raise RuntimeError("the card was declined")


def test_a_task_accepts_in_its_own_transaction(ledger: Ledger, points: Points) -> None:
    with pytest.raises(RuntimeError, match="declined"):
        pay(points, ledger, declined=True)
    assert (in_journal(ledger), rings(ledger)) == ([], 0)
    pay(points, ledger, declined=False)
    assert (len(in_journal(ledger)), rings(ledger)) == (1, 1)


@pytest.mark.parametrize("ended", [signals.worker_process_shutdown, signals.worker_shutdown])
def test_the_client_closes_with_its_process(points: Points, ended: Any) -> None:
    client = points.client
    assert points.client is client
    ended.send(sender=None)
    with pytest.raises(ClientClosed):
        client.enqueue(earn())
    assert points.client is not client


def test_without_settings_in_the_app_the_environments_count(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTLEDGER_DATABASE_URL", ledger.settings.database)
    monkeypatch.setenv("POINTLEDGER_REDIS_URL", ledger.settings.redis)
    with Points(Celery("shop", set_as_current=False)).client as client:
        task_id = client.enqueue(earn())
    assert in_journal(ledger) == [task_id]
