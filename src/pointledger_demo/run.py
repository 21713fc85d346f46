"""Runs the demonstration: sets up a program, replays baskets, expires points, transfers some and verifies."""

import gzip
import time
from collections import Counter
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from pointledger.cli.commands.replay import Progress, ReplayReport, replay
from pointledger.cli.progress import Tally
from pointledger.client.acceptor import Acceptance
from pointledger.client.client import PointsClient
from pointledger.domain.commands import AnyCommand, Expire, Transfer
from pointledger.domain.commands.outcomes import Outcome
from pointledger.domain.program.rule import rule_from
from pointledger.domain.program.tenant import tenant_from
from pointledger.jobs.scheduler import JobScheduler
from pointledger.messaging.celery_app import producer_app
from pointledger.messaging.doorbell import Doorbells
from pointledger.messaging.redis_client import connect
from pointledger.observability.verify import verify
from pointledger.settings import Settings
from pointledger.storage.database import bounded_engine_for, engine_for
from pointledger.storage.ledger import program
from pointledger.storage.queries import accounts
from pointledger_demo.program import BASKETS, NIGHT_AFTER, RULES, TENANT, TENANT_CONFIG

_BIGGEST = 5  # accounts in the summary
_GIFT = 25  # points
_WAIT_SECONDS = 120.0  # for one command's outcome, on a busy machine


class Demonstration:
    """The demonstration's steps. A second run finds them done and changes nothing."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self._console = console
        self._database = engine_for(settings.database)
        self._client = PointsClient.connect(settings)
        doorbells = Doorbells(connect(settings), producer_app(settings), settings)
        self._scheduler = JobScheduler(
            self._database, Acceptance(bounded_engine_for(settings), doorbells, settings)
        )

    def run(self) -> dict[str, Any]:
        """Run all steps and return the summary of `./dev run --json`. Its counts are of this run alone."""
        began = time.monotonic()
        before = self._counts()
        self._put_program()
        replayed = self._replay()
        with self._console.status("expiring the points that are due"):
            self._expire()
        with self._console.status("transferring points between users"):
            transferred = self._wait(self._transfer())
        with self._console.status("verifying every invariant"):
            verified = verify(self._database).as_json()
        added = self._counts() - before
        summary = {
            "accepted": added.pop("accepted", 0),
            "duplicates": replayed.duplicates,
            "applied": added.pop("applied", 0),
            "refused": {reason: count for reason, count in added.items() if reason != "dead"},
            "dead": added["dead"],
            **self._totals(),
            "looked_up": [outcome.as_json() for outcome in transferred],
            "seconds": round(time.monotonic() - began, 3),
            "commands_per_second": round(replayed.accepted / replayed.seconds),
            "verify": verified,
        }
        self._client.close()
        self._database.dispose()
        return summary

    def _counts(self) -> Counter[str]:
        with self._database.connect() as connection:
            return Counter(accounts.counts(connection))

    def _totals(self) -> dict[str, Any]:
        with self._database.connect() as connection:
            totals = accounts.tenant_totals(connection, TENANT)
            biggest = accounts.biggest_accounts(connection, TENANT, _BIGGEST)
        return {
            "points_granted": totals["earned"],
            "points_expired": totals["expired"],
            "points_outstanding": totals["balance"],
            "accounts": totals["accounts"],
            "biggest_accounts": [{"user_id": user, "balance": balance} for user, balance in biggest],
        }

    def _put_program(self) -> None:
        with self._database.begin() as connection:
            program.put_tenant(connection, tenant_from(TENANT_CONFIG))
            for rule in RULES:
                program.put_rule(connection, TENANT, rule_from(rule))

    def _replay(self) -> ReplayReport:
        """Send every basket as an event and wait for the outcomes.

        The first one waits until a worker has started, so the rate of the others is without that time.
        """
        bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        with gzip.open(BASKETS) as baskets:
            lines = baskets.readlines()
        with self._console.status("waiting for a worker"):
            first = replay(self._client, lines[:1], wait=True)
        with bar:
            shown = bar.add_task("replaying real baskets", total=len(lines), completed=1, rate="")
            began = time.monotonic()

            def show_progress(progress: Progress) -> None:
                rate = progress.done / (time.monotonic() - began)
                bar.update(shown, completed=1 + progress.done, rate=f"{rate:,.0f} per second")

            replayed = replay(self._client, lines[1:], wait=True, on_progress=show_progress)
        replayed.duplicates += first.duplicates
        return replayed

    def _expire(self) -> None:
        """Expire what is due the night after the last basket."""
        tally = Tally(self._client)
        for receipt in self._scheduler.expire_now(NIGHT_AFTER, TENANT):
            tally.add(receipt.task_ids)
        tally.wait(lambda: None)

    def _transfer(self) -> list[str]:
        """Send transfers, one of which is refused, and a manual expiry. Their keys make them idempotent."""
        giver, *friends, leaver = (f"household-{number}" for number in (900, 906, 1056, 718))
        commands: list[AnyCommand] = [
            Transfer(
                tenant_id=TENANT,
                user_id=giver,
                to_user_id=friend,
                amount=_GIFT,
                reason="a birthday",
                idempotency_key=f"birthday of {friend}",
                occurred_at=NIGHT_AFTER,
            )
            for friend in [*friends, giver]
        ]
        commands.append(
            Expire(
                tenant_id=TENANT,
                user_id=leaver,
                amount=1_000_000,
                description="asked to leave",
                idempotency_key="a manual expiry",
                occurred_at=NIGHT_AFTER,
            )
        )
        return self._client.enqueue_many(commands)

    def _wait(self, task_ids: list[str]) -> list[Outcome]:
        """Wait for the outcome of each task id."""
        return [self._client.wait(task_id, timeout=_WAIT_SECONDS) for task_id in task_ids]
