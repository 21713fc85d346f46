"""Every fault is a function that injects, waits, heals, and returns how often it had an effect."""

from tests.chaos.faults import (
    api_and_events,
    links,
    postgres,
    postgres_errors,
    processes,
    valkey,
    valkey_errors,
)
from tests.chaos.nemesis import Fault

FAULTS: list[Fault] = [
    *processes.FAULTS,
    *api_and_events.FAULTS,
    *links.FAULTS,
    *postgres.FAULTS,
    *postgres_errors.FAULTS,
    *valkey.FAULTS,
    *valkey_errors.FAULTS,
]
