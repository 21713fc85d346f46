"""Nothing that RabbitMQ does ends a process: it waits, and goes on by itself."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager as Block
from contextlib import contextmanager

import pytest

from tests.faults.surroundings import World, world
from tests.rabbitmq import RabbitMQ

pytestmark = pytest.mark.long

Spoil = Callable[[RabbitMQ], Block[None]]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory, rabbitmq: RabbitMQ) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("rabbitmq"), broker_url=rabbitmq.url) as opened:
        yield opened


@contextmanager
def out_of_memory(server: RabbitMQ) -> Iterator[None]:
    """`connection.blocked`: it takes no messages from publishers."""
    server.control("set_vm_memory_high_watermark", "0.0001")
    yield
    server.control("set_vm_memory_high_watermark", "0.6")


@contextmanager
def restarting(server: RabbitMQ) -> Iterator[None]:
    server.control("stop_app")
    yield
    server.control("start_app")


@pytest.mark.parametrize("spoil", [out_of_memory, restarting], ids=lambda spoil: spoil.__name__)
def test_processes_wait_for_a_rabbitmq_that_is(everything: World, rabbitmq: RabbitMQ, spoil: Spoil) -> None:
    everything.forget_lines()
    task_id = everything.enqueue()
    with spoil(rabbitmq):
        tasks = [everything.enqueue() for _ in range(50)]
        everything.ledger.client.wait(task_id, timeout=60)  # a worker finds it without a doorbell
        everything.wait_for_line("relay", "relay_waits")
        everything.require_alive()
    everything.require_work(task_id, *tasks)


def test_processes_connect_again_when_rabbitmq_closes_their_connections(
    everything: World, rabbitmq: RabbitMQ
) -> None:
    for _ in range(3):
        rabbitmq.control("close_all_connections", "an operator")
        everything.require_work(everything.enqueue())
