"""However commands are cut into batches, and however many workers apply them, the engine does what a small
model does that takes them one after the other, in the order of their acceptance.

In which order commands of different users are applied is not promised. In one lane there is but one order;
with several a transfer, which touches two users, has the ledger to itself.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from pointledger.audit import audit
from pointledger.domain.commands import Transfer
from pointledger.locks import Locks
from pointledger.settings import Settings
from pointledger.storage.migrate import migrate
from tests.engine.many_workers import NobodyWaits, drain_with
from tests.ledger import Ledger
from tests.machine import accounts
from tests.machine.accounts import Look
from tests.machine.machine import LedgerMachine, played
from tests.machine.model import Answer
from tests.machine.programme import RULES
from tests.machine.purses import TOTALS

LONG_AFTER = datetime(2100, 1, 1, tzinfo=UTC)  # the machine's year is past: each moment is believed
BATCHES = st.integers(1, 9)
LOCKS = st.sampled_from([Locks, Locks, NobodyWaits])

_tenants = (f"shop-{number}" for number in count())


class EngineMachine(LedgerMachine):
    """Accepts commands and lets workers loose on them now and then; then everything is compared."""

    ledger: Ledger

    def __init__(self) -> None:
        super().__init__()
        self.tenant = next(_tenants)
        self.transferred = False
        self.sent: list[tuple[int, Any, Answer]] = []
        self.ledger.tenant(self.tenant)
        for each in RULES:
            self.ledger.rule(self.tenant, **each.fields)

    def configure(self, fields: dict[str, Any]) -> None:
        self.work()
        self.ledger.tenant(self.tenant, **fields)

    def accepted_at(self) -> datetime:
        return LONG_AFTER

    def notice_ends(self) -> datetime:
        return LONG_AFTER  # two days after today, which is the machine's far future

    def before(self, command: Any) -> None:
        """A transfer has several lanes to itself: nothing waits before it, and nothing when it is done."""
        transfers = isinstance(command, Transfer) and self.ledger.settings.lanes > 1
        if transfers or self.transferred:
            self.work()
        self.transferred = transfers

    def send(self, number: int, command: Any, answer: Answer) -> None:
        self.sent.append((number, command, answer))

    @rule(batch_size=BATCHES, call=BATCHES)
    def one_worker_works(self, batch_size: int, call: int) -> None:
        self.work(1, batch_size, call)

    @rule(workers=st.integers(2, 4), batch_size=BATCHES, call=BATCHES, locks=LOCKS)
    def workers_work(self, workers: int, batch_size: int, call: int, locks: type[Locks]) -> None:
        self.work(workers, batch_size, call, locks)

    def teardown(self) -> None:
        self.work()
        found = [finding for finding in audit(self.ledger.database).findings if finding.violations]
        assert found == []

    def work(self, workers: int = 2, batch_size: int = 5, call: int = 4, locks: type[Locks] = Locks) -> None:
        """Accepts what was sent, in calls of this many, lets the workers apply it and looks."""
        if not self.sent:
            return
        sent, self.sent = self.sent, []
        commands = [command for _, command, _ in sent]
        task_ids = []
        for start in range(0, len(commands), call):
            task_ids += self.ledger.client.enqueue_many(commands[start : start + call])
        drain_with(self.ledger, workers, locks, batch_size=batch_size)
        for (number, command, answer), outcome in zip(
            sent, self.ledger.client.outcomes(task_ids), strict=True
        ):
            assert outcome.reason == answer.reason, f"{command}: {outcome.message}"
            assert outcome.state == ("refused" if answer.reason else "applied")
            data = outcome.data or {}
            assert answer.numbers == {name: data[name] for name in answer.numbers}
            transactions = data.get("transactions", [])
            assert [entry.amount for entry in answer.shown] == [each["amount"] for each in transactions]
            self.told(number, answer, transactions)
        self.compare()

    def compare(self) -> None:
        looks = dict(self.looks())
        assert looks == {user: accounts.of_model(purse) for user, purse in self.model.purses.items()}
        for look in looks.values():
            look.assert_adds_up()
        assert accounts.used(self.model) == {
            (row.user_id, row.name or row.meter, row.period, row.starts_on): (row.points, row.times)
            for row in self.rows(
                """SELECT DISTINCT u.*, r.name FROM usage u
                   LEFT JOIN rule_versions r ON r.tenant_id = u.tenant_id AND r.rule_id::text = u.meter
                   WHERE u.tenant_id = %(tenant)s AND (u.points > 0 OR u.times > 0)"""
            )
        }

    def looks(self) -> Iterator[tuple[str, Look]]:
        for row in self.rows("SELECT * FROM accounts WHERE tenant_id = %(tenant)s"):
            account = row._asdict()
            lots = self.rows(
                """SELECT expires_at, earned_at, remaining, frozen FROM lots
                   WHERE tenant_id = %(tenant)s AND account_id = %(account)s""",
                account=row.id,
            )
            entries = self.rows(
                """SELECT * FROM entries
                   WHERE tenant_id = %(tenant)s AND account_id = %(account)s ORDER BY seq""",
                account=row.id,
            )
            assert [entry.seq for entry in entries] == list(range(1, row.version + 1))
            yield (
                row.user_id,
                Look(
                    row.status,
                    (row.balance, row.frozen_balance, row.pending_balance, row.debt),
                    {name: account[name] for name in TOTALS},
                    accounts.merged(tuple(lot) for lot in lots),
                    accounts.told([accounts.line_of(entry) for entry in entries]),
                ),
            )

    def rows(self, sql: str, **values: Any) -> list[Any]:
        return self.ledger.rows(sql, tenant=self.tenant, **values)


@pytest.mark.parametrize("lanes", [1, 8])
def test_batches_and_workers_make_no_difference(settings: Settings, lanes: int) -> None:
    migrate(settings.owner, lanes)
    with Ledger(settings.model_copy(update={"lanes": lanes})) as ledger:
        machine = type("Machine", (EngineMachine,), {"ledger": ledger})
        run_state_machine_as_test(machine, settings=played(8, 40, shrinks=False))
