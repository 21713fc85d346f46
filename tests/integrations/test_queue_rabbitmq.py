"""The queue of commands by name on RabbitMQ."""

import shlex
import uuid
from collections import Counter
from typing import Any

import pytest
from celery import Celery
from kombu import Connection, Exchange, Queue

from pointledger.integrations.celery_callbacks import CallbackSender, TaskDestination
from pointledger.integrations.celery_commands import CommandsByName, open_commands
from pointledger.settings import Settings
from tests.docs.blocks import block
from tests.integrations.running import FIELDS
from tests.ledger import Ledger
from tests.rabbitmq import RabbitMQ
from tests.waiting import wait_until


@pytest.mark.long
@pytest.mark.parametrize("arguments", [{"x-max-priority": 10}, {"x-queue-type": "quorum"}, {}])
def test_an_existing_rabbitmq_queue_is_used_as_it_is(
    ledger: Ledger, commands: CommandsByName, settings: Settings, rabbitmq_url: str, arguments: dict[str, Any]
) -> None:
    queue = f"commands-{uuid.uuid4()}"
    on_rabbit = settings.model_copy(update={"broker_url": rabbitmq_url, "commands_queue": queue})
    with Celery(broker=rabbitmq_url, set_as_current=False) as client:
        client.conf.task_queues = [Queue(queue, Exchange(queue), queue, queue_arguments=arguments)]
        sent = [client.send_task("points.earn", kwargs=FIELDS, queue=queue, priority=n) for n in range(10)]
        ingest_queue = open_commands(on_rabbit)
        found: Counter[str] = Counter()
        wait_until(
            lambda: bool(found.update(commands.step(ingest_queue)) or found["accepted"] == 10),
            "all are accepted",
        )
        ingest_queue.close()
        sent.append(client.send_task("points.earn", kwargs=FIELDS, queue=queue, priority=5))
        again = open_commands(on_rabbit)
        wait_until(lambda: commands.step(again) == {"accepted": 1}, "so is a later one")
        again.close()
    assert {ledger.client.outcome(one.id).state for one in sent} == {"pending"}


@pytest.mark.long
def test_a_link_reaches_any_rabbitmq_queue_and_one_that_does_not_exist_yet(
    ledger: Ledger, commands: CommandsByName, settings: Settings, rabbitmq_url: str
) -> None:
    source, quorum, fresh = (f"{name}-{uuid.uuid4()}" for name in ("commands", "quorum", "fresh"))
    on_rabbit = settings.model_copy(update={"broker_url": rabbitmq_url, "commands_queue": source})
    with Celery(broker=rabbitmq_url, set_as_current=False) as client, Connection(rabbitmq_url) as connection:
        kind = {"x-queue-type": "quorum"}
        Queue(quorum, queue_arguments=kind)(connection.default_channel).declare()
        links = [client.signature("shop.next", queue=queue) for queue in (quorum, fresh)]
        client.send_task("points.earn", kwargs=FIELDS, queue=source, link=links)
        ingest_queue = open_commands(on_rabbit)
        wait_until(lambda: commands.step(ingest_queue) == {"accepted": 1}, "it is accepted")
        ingest_queue.close()
        ledger.drain()
        sender = CallbackSender(ledger.database, on_rabbit, TaskDestination(on_rabbit))
        assert sender.step() == 2
        sender.close()
        received = [connection.default_channel.basic_get(queue, no_ack=True) for queue in (quorum, fresh)]
        assert [message.headers["task"] for message in received] == ["shop.next"] * 2


@pytest.mark.long
def test_a_message_that_expires_on_rabbitmq_is_refused_with_the_guides_policy(
    ledger: Ledger, commands: CommandsByName, settings: Settings, rabbitmq: RabbitMQ
) -> None:
    program, *arguments = shlex.split(block("sh rabbitmq"))
    assert program == "rabbitmqctl"
    rabbitmq.control(*arguments)
    with Celery(broker=rabbitmq.url, set_as_current=False) as client:
        on_rabbit = settings.model_copy(update={"broker_url": rabbitmq.url})
        ingest_queue = open_commands(on_rabbit)
        ingest_queue.receive(1, 0.1)  # its queues are there
        ingest_queue.close()
        sent = client.send_task("points.earn", kwargs=FIELDS, queue="points.commands", expires=0.01)
        again = open_commands(on_rabbit)
        wait_until(lambda: commands.step(again, wait_seconds=0.1)["dead"] == 1, "it is in the other queue")
        again.close()
    assert ledger.client.outcome(sent.id).reason == "EXPIRED"
    rabbitmq.control("clear_policy", "expired-commands")
