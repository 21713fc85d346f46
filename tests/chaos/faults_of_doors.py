"""Faults of what carries messages in and out: the API, the ingest, the relays, and the broker of events,
which may be away but forgets nothing."""

import random

from tests.chaos.faults_of_links import commit_is_not_heard, partitioned
from tests.chaos.faults_of_processes import ended, frozen_for_a_moment, killed
from tests.chaos.nemesis import Doing, Fault, Run
from tests.chaos.part import Part


def events_are_away(run: Run, _: Part | None, chance: random.Random) -> Doing:
    """Nobody reaches the broker of events; relays and intake wait, and so does what they carry."""
    links = [part.events for part in run.stage.parts]
    before = sum(link.injected["refuse"] for link in links)
    for link in links:
        link.refuse(True)
    yield chance.uniform(2.0, 6.0)
    for link in links:
        link.refuse(False)
    return sum(link.injected["refuse"] for link in links) - before


FAULTS = [
    Fault("F2 the API is killed", "api", killed, 3.0, weight=2),
    Fault("F14 the API is told to end", "api", ended, 4.0),
    Fault("F1 the API is frozen for a moment", "api", frozen_for_a_moment, 4.0),
    Fault("F4 the API does not hear that Postgres has committed", "api", commit_is_not_heard, 2.0),
    Fault("F45 the API is cut off", "api", partitioned, 6.0),
    Fault("F13 the ingest is killed", "ingest", killed, 2.0, weight=2),
    Fault("F25 the ingest does not hear that Postgres has committed", "ingest", commit_is_not_heard, 2.0),
    Fault("F45 the ingest is cut off", "ingest", partitioned, 6.0),
    Fault("F51 a relay is killed", "relay", killed, 2.0, weight=2),
    Fault("F18 a relay is frozen for a moment", "relay", frozen_for_a_moment, 4.0),
    Fault("F25 a relay does not hear that Postgres has committed", "relay", commit_is_not_heard, 2.0),
    Fault("F45 a relay is cut off", "relay", partitioned, 6.0),
    Fault("F53 the broker of events is away", "events", events_are_away, 6.0),
]
