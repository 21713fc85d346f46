"""A Celery task that does nothing and says so: what Celery on Valkey costs by itself, results included.
`celery -A tests.bench.noop worker`; set as the ledger's own workers are, but for the result."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

from celery import Celery
from redis import Redis

from tests.bench.conventional.celery import LEAN
from tests.bench.harness import DifferentWork
from tests.bench.ledger import WORKERS, timed
from tests.bench.stage import Stage, Workers

BROKER_URL = "NOOP_BROKER_URL"
RESULTS_URL = "NOOP_RESULTS_URL"  # a database of their own: there, each key is a result
TASK = "noop.answer"
_QUEUE = "noop"
_RESULTS_AT_ONCE = 1000
_WAIT_SECONDS = 30.0


def app_for(broker_url: str | None, results_url: str | None) -> Celery:
    """The app, for workers and producers alike."""
    made = Celery("noop", broker=broker_url, backend=results_url, set_as_current=False)
    made.conf.update(
        task_default_queue=_QUEUE,
        task_serializer="json",
        accept_content=["json"],
        result_expires=3600,
        task_acks_late=True,
        **LEAN,
    )
    return made


app = app_for(os.environ.get(BROKER_URL), os.environ.get(RESULTS_URL))


@app.task(name=TASK)
def answer(number: int) -> int:
    """What it was given."""
    return number


@contextmanager
def at_work(stage: Stage) -> Iterator[tuple[Celery, Workers, Redis]]:
    """An app that sends, its workers, and where the results are."""
    broker_url, results_url = stage.valkey(2), stage.valkey(3)
    sender = app_for(broker_url, results_url)
    environment = {BROKER_URL: broker_url, RESULTS_URL: results_url}
    with (
        stage.workers("tests.bench.noop", WORKERS, broker_url, environment) as workers,
        Redis.from_url(results_url) as results,
    ):
        yield sender, workers, results
    sender.close()


def round_trip(sender: Celery, number: int) -> bool:
    """Sends one and waits for its result; whether that was right."""
    result = sender.send_task(TASK, (number,), argsrepr="-", kwargsrepr="-")
    found = result.get(timeout=_WAIT_SECONDS)
    result.forget()
    return bool(found == number)


def tasks_per_second(stage: Stage, count: int) -> float:
    """From the first one sent to the last result written. Every result is read afterwards."""
    ids = [str(uuid4()) for _ in range(count)]
    with at_work(stage) as (sender, workers, results):

        def send(numbers: Sequence[int]) -> None:
            with sender.producer_pool.acquire(block=True) as producer, producer.batch():
                for number in numbers:
                    sender.send_task(
                        TASK, (number,), task_id=ids[number], producer=producer, argsrepr="-", kwargsrepr="-"
                    )

        rate = timed(workers, send, lambda: results.dbsize() >= count, range(count))
        verify(sender, ids)
    return rate


def verify(sender: Celery, ids: list[str]) -> None:
    """Every task has the result that it must have. Raises DifferentWork."""
    for start in range(0, len(ids), _RESULTS_AT_ONCE):
        wanted = ids[start : start + _RESULTS_AT_ONCE]
        keys = [sender.backend.get_key_for_task(task_id) for task_id in wanted]
        for number, stored in enumerate(sender.backend.mget(keys), start):
            if stored is None or sender.backend.decode(stored).get("result") != number:
                raise DifferentWork(f"task {number} has no result, or another's")
