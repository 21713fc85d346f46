"""restart: every worker is replaced, one after the other, while commands arrive: what they notice of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from tests.bench import workload
from tests.bench.harness import Choice, Report, Side, compare
from tests.bench.latency import SHARES
from tests.bench.ledger import WORKERS, apply_one, at_work, new_ledger, open_accounts
from tests.bench.open_loop import percentile, quiet_and_busy
from tests.bench.plots import distribution
from tests.bench.stage import Stage

NAME = "restart"
_RATE = 100  # live commands per second
_MOST_SECONDS = 200.0  # of restarting, for which there are commands
_SHARES = {**SHARES, "longest": 1.0}


@dataclass(frozen=True, slots=True)
class Size:
    """How much: seconds of live commands before; how often all workers are replaced."""

    rounds: int
    users: int
    quiet_seconds: float
    times: int


FULL = Size(rounds=3, users=10_000, quiet_seconds=15, times=3)
QUICK = Size(rounds=1, users=100, quiet_seconds=0.5, times=1)


def run(stage: Stage, choice: Choice) -> Iterator[Report]:
    """Latencies before and meanwhile."""
    size = QUICK if choice.quick else FULL
    sides = [Side("pointledger", partial(_restarted, stage, size))]
    rounds = compare(NAME, sides, choice.rounds or size.rounds, stage.tell)
    yield rounds.report(NAME, "milliseconds")


def _restarted(stage: Stage, size: Size) -> dict[str, float]:
    user_ids = workload.users(size.users)
    events = workload.events("live", round(_RATE * (2 * size.quiet_seconds + _MOST_SECONDS)), user_ids)
    figures: dict[str, float] = {}
    with new_ledger(stage) as ledger:
        opening = open_accounts(ledger, size.users)
        with at_work(stage, ledger) as (client, workers):

            def replace_all() -> None:
                for _ in range(size.times * WORKERS):
                    stage.replace_oldest(workers, "workers", ledger.settings.redis, ledger.environment)

            quiet, busy, done = quiet_and_busy(
                _RATE, size.quiet_seconds, lambda number: apply_one(client, events[number]), replace_all
            )
        ledger.verify(lambda found: workload.verify(found, user_ids, events[:done], opening.of_each))
    for name, loop in (("before", quiet), ("while workers are replaced", busy)):
        took = [1000 * latency for latency in loop.latencies]
        figures |= {f"{name} {share}": percentile(took, part) for share, part in _SHARES.items()}
        stage.keep(distribution(f"Commands at {_RATE} per second, and a rolling restart", name, took))
    return figures
