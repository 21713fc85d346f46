"""Faults of links: slow, broken, refused, silent, half open, and the reply to COMMIT that nobody hears."""

import random
from collections.abc import Generator

from tests.chaos.nemesis import Doing, Fault, Run, at_work
from tests.chaos.part import Part
from tests.chaos.proxy import Link


def _link(part: Part | None, to: str) -> Generator[float, None, Link]:
    """Its link, once it has connections."""
    found = yield from at_work(part)
    return found.redis if to == "valkey" else found.database


def _of_both(part: Part | None, chance: random.Random) -> Generator[float, None, Link]:
    return (yield from _link(part, chance.choice(["valkey", "postgres"])))


def slow(run: Run, part: Part | None, chance: random.Random) -> Doing:
    link = yield from _of_both(part, chance)
    before = link.injected["slow"]
    link.slow(chance.uniform(0.02, 0.3))
    yield 3.0
    link.slow(0)
    return link.injected["slow"] - before


def broken(run: Run, part: Part | None, chance: random.Random) -> Doing:
    """Reset, several times in a row."""
    link, injected = (yield from _link(part, "postgres")), 0
    for _ in range(chance.randint(1, 4)):
        injected += link.reset()
        yield 0.2
    return injected


def valkey_is_refused(run: Run, part: Part | None, chance: random.Random) -> Doing:
    return (yield from _refused((yield from _link(part, "valkey")), chance))


def postgres_is_refused(run: Run, part: Part | None, chance: random.Random) -> Doing:
    return (yield from _refused((yield from _link(part, "postgres")), chance))


def _refused(link: Link, chance: random.Random) -> Doing:
    before = link.injected["refuse"]
    link.refuse(True)
    yield chance.uniform(1.0, 4.0)
    link.refuse(False)
    return link.injected["refuse"] - before


def half_open(run: Run, part: Part | None, chance: random.Random) -> Doing:
    """Whom it talks to is gone and does not say so; in the end its kernel finds out."""
    link = yield from _of_both(part, chance)
    injected = link.half_open()
    yield 4.0
    link.heal()
    return injected


def partitioned(run: Run, part: Part | None, chance: random.Random) -> Doing:
    """Nothing moves on one of its links, in both directions or in one; then everything arrives."""
    link = yield from _of_both(part, chance)
    before = link.injected["silence"]
    link.silence(*chance.choice([("there", "back"), ("there",), ("back",)]))
    yield chance.uniform(1.0, 6.0)
    link.silence()
    return link.injected["silence"] - before


def clogged(run: Run, part: Part | None, chance: random.Random) -> Doing:
    """All links fall silent, one after the other, and are freed in another order."""
    links = [link for each in run.stage.parts for link in (each.database, each.redis, each.events)]
    before = sum(link.injected["silence"] for link in links)
    for silence in (True, False):
        chance.shuffle(links)
        for link in links:
            link.silence(*(("there", "back") if silence else ()))
            yield 0.15
    return sum(link.injected["silence"] for link in links) - before


def commit_is_not_heard(run: Run, part: Part | None, chance: random.Random) -> Doing:
    """Postgres has committed, and the connection breaks before its answer comes."""
    link = yield from _link(part, "postgres")
    before = link.injected["cut"]
    link.cut_commits(chance.randint(1, 3))
    yield 2.0
    link.cut_commits(0)
    return link.injected["cut"] - before


def corrupted(run: Run, part: Part | None, chance: random.Random) -> Doing:
    """Bits flip between Valkey and whoever asks it: nothing there is of value. Postgres' link is left
    alone: what TCP's own checksum lets through there only TLS would find."""
    link = yield from _link(part, "valkey")
    before = link.injected["corrupt"]
    link.corrupt(chance.randint(1, 5))
    yield 2.0
    link.corrupt(0)
    return link.injected["corrupt"] - before


FAULTS = [
    Fault("F24 a worker's connections to Postgres break", "worker", broken, 1.0, weight=2),
    Fault(
        "F25 a worker does not hear that Postgres has committed", "worker", commit_is_not_heard, 2.0, weight=2
    ),
    Fault("F4 a client does not hear that it is accepted", "client", commit_is_not_heard, 2.0, weight=2),
    Fault("F5 a client's rings are refused by Valkey", "client", valkey_is_refused, 4.0),
    Fault("F45 a worker is refused by Postgres", "worker", postgres_is_refused, 4.0),
    Fault("F45 a worker is cut off", "worker", partitioned, 6.0),
    Fault("F45 a client is cut off", "client", partitioned, 6.0),
    Fault("F45 a worker's link is half open", "worker", half_open, 4.5),
    Fault("F45 a client's link is half open", "client", half_open, 4.5),
    Fault("F31 a worker's link is slow", "worker", slow, 3.0),
    Fault("F46 all links are clogged, one by one", "links", clogged, 5.0),
    Fault("F47 bits flip between Valkey and a worker", "worker", corrupted, 2.0),
]
