"""Measures a Celery task that does nothing: the cost of Celery on Valkey alone, including results.

Its workers (`celery -A tests.bench.noop worker`) have the settings of the ledger's own, except for results.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

from celery import Celery
from redis import Redis

from tests.bench.celery_results import CeleryResults
from tests.bench.conventional.celery import LEAN
from tests.bench.environment import BenchmarkEnvironment, CeleryWorkers
from tests.bench.harness import DifferentWork
from tests.bench.ledger import timed

BROKER_URL = "NOOP_BROKER_URL"
RESULTS_URL = "NOOP_RESULTS_URL"  # a separate database, in which each key is a result
TASK = "noop.answer"
_QUEUE = "noop"
_RESULT_CHUNK = 1000
_WAIT_SECONDS = 30.0


def app_for(broker_url: str | None, results_url: str | None) -> Celery:
    """Return the app, for workers and producers."""
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
    """Return the argument."""
    return number


@contextmanager
def running_workers(environment: BenchmarkEnvironment) -> Iterator[tuple[Celery, CeleryWorkers, Redis]]:
    """Start the workers. Yield a sending app, the workers, and the client of the results' database."""
    broker_url, results_url = environment.valkey(2), environment.valkey(3)
    sender = app_for(broker_url, results_url)
    env = {BROKER_URL: broker_url, RESULTS_URL: results_url}
    with (
        environment.workers("tests.bench.noop", environment.workers_per_side, broker_url, env) as workers,
        Redis.from_url(results_url) as results,
    ):
        yield sender, workers, results
    sender.close()


def round_trip(sender: Celery, number: int) -> bool:
    """Send one task and wait for its result. Return whether the result is as expected."""
    result = sender.send_task(TASK, (number,), argsrepr="-", kwargsrepr="-")
    found = result.get(timeout=_WAIT_SECONDS)
    result.forget()
    return bool(found == number)


@contextmanager
def round_trips(
    environment: BenchmarkEnvironment,
) -> Iterator[tuple[Callable[[int], bool], CeleryWorkers]]:
    """Start the workers. Yield a round trip like `round_trip`, for any number of threads, and the workers."""
    broker_url, results_url = environment.valkey(2), environment.valkey(3)
    sender = app_for(broker_url, None)
    env = {BROKER_URL: broker_url, RESULTS_URL: results_url}
    with (
        environment.workers("tests.bench.noop", environment.workers_per_side, broker_url, env) as workers,
        CeleryResults(sender, results_url) as results,
    ):
        yield lambda number: results.result_of(TASK, (number,))["result"] == number, workers
    sender.close()


def tasks_per_second(environment: BenchmarkEnvironment, count: int) -> float:
    """Measure from the first sent task to the last written result, then check every result."""
    ids = [str(uuid4()) for _ in range(count)]
    with running_workers(environment) as (sender, workers, results):

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
    """Check that each task has its expected result. Raises DifferentWork."""
    for start in range(0, len(ids), _RESULT_CHUNK):
        chunk = ids[start : start + _RESULT_CHUNK]
        keys = [sender.backend.get_key_for_task(task_id) for task_id in chunk]
        for number, stored in enumerate(sender.backend.mget(keys), start):
            if stored is None or sender.backend.decode(stored).get("result") != number:
                raise DifferentWork(f"task {number} has no result, or another task's")
