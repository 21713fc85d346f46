"""Faults of links: slow, broken, refused, silent, half open, and lost replies to COMMIT."""

import random
from collections.abc import Generator

from tests.chaos.nemesis import Fault, Nemesis, Steps, connected
from tests.chaos.node import Node
from tests.chaos.proxy import Link


def _link(node: Node | None, server: str) -> Generator[float, None, Link]:
    """Return the node's link to the server once it has connections."""
    found = yield from connected(node)
    return found.redis if server == "valkey" else found.database


def _either(node: Node | None, chance: random.Random) -> Generator[float, None, Link]:
    return (yield from _link(node, chance.choice(["valkey", "postgres"])))


def slow(nemesis: Nemesis, node: Node | None, chance: random.Random) -> Steps:
    link = yield from _either(node, chance)
    before = link.injected["slow"]
    link.slow(chance.uniform(0.02, 0.3))
    yield 3.0
    link.slow(0)
    return link.injected["slow"] - before


def broken(nemesis: Nemesis, node: Node | None, chance: random.Random) -> Steps:
    """Reset all connections, several times in a row."""
    link, injected = (yield from _link(node, "postgres")), 0
    for _ in range(chance.randint(1, 4)):
        injected += link.reset()
        yield 0.2
    return injected


def valkey_is_refused(nemesis: Nemesis, node: Node | None, chance: random.Random) -> Steps:
    return (yield from _refused((yield from _link(node, "valkey")), chance))


def postgres_is_refused(nemesis: Nemesis, node: Node | None, chance: random.Random) -> Steps:
    return (yield from _refused((yield from _link(node, "postgres")), chance))


def _refused(link: Link, chance: random.Random) -> Steps:
    before = link.injected["refuse"]
    link.refuse(True)
    yield chance.uniform(1.0, 4.0)
    link.refuse(False)
    return link.injected["refuse"] - before


def half_open(nemesis: Nemesis, node: Node | None, chance: random.Random) -> Steps:
    """The server's side of each connection is gone without notice, until the kernel notices."""
    link = yield from _either(node, chance)
    injected = link.half_open()
    yield 4.0
    link.heal()
    return injected


def partitioned(nemesis: Nemesis, node: Node | None, chance: random.Random) -> Steps:
    """No data passes one of its links, in both directions or in one; then everything arrives."""
    link = yield from _either(node, chance)
    before = link.injected["silence"]
    link.silence(*chance.choice([("there", "back"), ("there",), ("back",)]))
    yield chance.uniform(1.0, 6.0)
    link.silence()
    return link.injected["silence"] - before


def clogged(nemesis: Nemesis, node: Node | None, chance: random.Random) -> Steps:
    """All links fall silent, one after the other, and are freed in another order."""
    links = [link for each in nemesis.environment.nodes for link in (each.database, each.redis, each.events)]
    before = sum(link.injected["silence"] for link in links)
    for silence in (True, False):
        chance.shuffle(links)
        for link in links:
            link.silence(*(("there", "back") if silence else ()))
            yield 0.15
    return sum(link.injected["silence"] for link in links) - before


def commit_reply_is_lost(nemesis: Nemesis, node: Node | None, chance: random.Random) -> Steps:
    """Postgres has committed, and the connection breaks before its reply arrives."""
    link = yield from _link(node, "postgres")
    before = link.injected["cut"]
    link.cut_commits(chance.randint(1, 3))
    yield 2.0
    link.cut_commits(0)
    return link.injected["cut"] - before


def corrupted(nemesis: Nemesis, node: Node | None, chance: random.Random) -> Steps:
    """Flip bits in Valkey's replies, which carry nothing of value.

    The link to Postgres is spared: only TLS would detect what passes TCP's checksum there.
    """
    link = yield from _link(node, "valkey")
    before = link.injected["corrupt"]
    link.corrupt(chance.randint(1, 5))
    yield 2.0
    link.corrupt(0)
    return link.injected["corrupt"] - before


FAULTS = [
    Fault("F24 a worker's connections to Postgres break", "worker", broken, 1.0, weight=2),
    Fault("F25 the reply to a worker's COMMIT is lost", "worker", commit_reply_is_lost, 2.0, weight=2),
    Fault("F4 the reply to a client's COMMIT is lost", "client", commit_reply_is_lost, 2.0, weight=2),
    Fault("F5 Valkey refuses a client's doorbells", "client", valkey_is_refused, 4.0),
    Fault("F45 Postgres refuses a worker", "worker", postgres_is_refused, 4.0),
    Fault("F45 a worker is cut off", "worker", partitioned, 6.0),
    Fault("F45 a client is cut off", "client", partitioned, 6.0),
    Fault("F45 a worker's link is half open", "worker", half_open, 4.5),
    Fault("F45 a client's link is half open", "client", half_open, 4.5),
    Fault("F31 a worker's link is slow", "worker", slow, 3.0),
    Fault("F46 all links are clogged, one by one", "links", clogged, 5.0),
    Fault("F47 bits flip between Valkey and a worker", "worker", corrupted, 2.0),
]
