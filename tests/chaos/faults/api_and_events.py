"""Faults of the API, the ingest, the relays and the broker of events."""

import random
import subprocess
from collections.abc import Generator

from tests.chaos.faults.links import commit_reply_is_lost, partitioned
from tests.chaos.faults.processes import killed, stalled, terminated
from tests.chaos.nemesis import Fault, Nemesis, Steps
from tests.chaos.node import Node
from tests.rabbitmq import RabbitMQ, is_installed

_BLOCKED_SECONDS = (5.0, 8.0)  # longer than a relay waits for a confirmation
_POLL_SECONDS = 0.1
_ROOM, _NO_ROOM = "0.6", "0.0001"  # shares of the memory: RabbitMQ's default, and less than it takes


def broker_of_events_is_down(nemesis: Nemesis, _: Node | None, chance: random.Random) -> Steps:
    """No process reaches the broker of events, which keeps its messages. Relays and the ingest wait."""
    links = [node.events for node in nemesis.environment.nodes]
    before = sum(link.injected["refuse"] for link in links)
    for link in links:
        link.refuse(True)
    yield chance.uniform(2.0, 6.0)
    for link in links:
        link.refuse(False)
    return sum(link.injected["refuse"] for link in links) - before


def rabbitmq_is_blocked(nemesis: Nemesis, _: Node | None, chance: random.Random) -> Steps:
    """RabbitMQ is out of memory: it reads nothing more from publishers, and sends them `connection.blocked`.

    The proxy counts the connections that got it.
    """
    server = nemesis.environment.servers.rabbitmq
    assert server, "the fault is planned only with it"
    links = [node.events for node in nemesis.environment.nodes]
    before = sum(link.injected["blocked"] for link in links)
    yield from _watermark(server, _NO_ROOM)
    yield chance.uniform(*_BLOCKED_SECONDS)
    yield from _watermark(server, _ROOM)
    return sum(link.injected["blocked"] for link in links) - before


def _watermark(server: RabbitMQ, share: str) -> Generator[float, None, None]:
    """Let RabbitMQ use this share of the memory. Its command line takes seconds, so the schedule goes on."""
    command = server.command("set_vm_memory_high_watermark", share)
    control = subprocess.Popen(command, env=server.env, stdout=subprocess.DEVNULL)
    while control.poll() is None:
        yield _POLL_SECONDS
    assert control.returncode == 0, command


FAULTS = [
    Fault("F2 the API is killed", "api", killed, 3.0, weight=2),
    Fault("F14 the API gets SIGTERM", "api", terminated, 4.0),
    Fault("F1 the API is stalled", "api", stalled, 4.0),
    Fault("F4 the reply to the API's COMMIT is lost", "api", commit_reply_is_lost, 2.0),
    Fault("F45 the API is cut off", "api", partitioned, 6.0),
    Fault("F13 the ingest is killed", "ingest", killed, 2.0, weight=2),
    Fault("F25 the reply to the ingest's COMMIT is lost", "ingest", commit_reply_is_lost, 2.0),
    Fault("F45 the ingest is cut off", "ingest", partitioned, 6.0),
    Fault("F51 a relay is killed", "relay", killed, 2.0, weight=2),
    Fault("F18 a relay is stalled", "relay", stalled, 4.0),
    Fault("F25 the reply to a relay's COMMIT is lost", "relay", commit_reply_is_lost, 2.0),
    Fault("F45 a relay is cut off", "relay", partitioned, 6.0),
    Fault("F53 the broker of events is down", "events", broker_of_events_is_down, 6.0),
]
if is_installed():
    FAULTS.append(Fault("F69 RabbitMQ blocks its publishers", "events", rabbitmq_is_blocked, 12.0))
