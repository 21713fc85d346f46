"""Whatever is asked, in whatever order and at whatever hour, the domain does what a small model says."""

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis.stateful import run_state_machine_as_test

from pointledger.domain.commands import KINDS
from pointledger.domain.outcomes import Applied
from tests.domain.books import SHOP, Shop
from tests.machine import accounts
from tests.machine.accounts import Look
from tests.machine.machine import LedgerMachine, played
from tests.machine.model import Answer
from tests.machine.programme import NOTICE_DAYS, RULES, TIMEZONE
from tests.machine.purses import TOTALS

# Wallets are another ledger; the others change when points expire or whose they are, not how they move.
NOT_PLAYED = {
    "apply-expiry-policy",
    "erase-user",
    "exchange",
    "extend-expiry",
    "set-expiry-exemption",
    "wallet-adjust",
}


class DomainMachine(LedgerMachine):
    """Decides each command at once, and looks at everything after it."""

    def __init__(self) -> None:
        super().__init__()
        self.shop = Shop(self.now)
        self.names = {str(self.shop.rule(**rule.fields).id): rule.name for rule in RULES}

    def configure(self, fields: dict[str, Any]) -> None:
        before = self.shop.book.tenants.get(SHOP)
        self.shop.configure(**fields)
        self.shop.book.tenants[SHOP] = self.shop.tenant.following(before, self.now)

    def notice_ends(self) -> datetime:
        day = self.now.astimezone(ZoneInfo(TIMEZONE)).date() + timedelta(days=NOTICE_DAYS)
        return datetime.combine(day, time(), ZoneInfo(TIMEZONE))

    def accepted_at(self) -> datetime:
        return self.instant

    def send(self, number: int, command: Any, answer: Answer) -> None:
        written = len(self.shop.book.entries)
        decision = self.shop.apply(command, self.instant)
        if isinstance(decision, Applied):
            assert answer.reason is None, f"{command} should be refused: {answer.reason}"
            transactions = decision.data.get("transactions", [])
            assert answer.numbers == {name: decision.data[name] for name in answer.numbers}
            assert [e.amount for e in answer.shown] == [each["amount"] for each in transactions]
            self.told(number, answer, transactions)
        else:
            assert decision.reason == answer.reason, f"{command}: {decision.message}"
            passed = {entry.subtype for entry in self.shop.book.entries[written:]}
            assert passed <= {"scheduled", "timeout", "activation"}, (
                "of a refusal only time's passing remains"
            )
        self.compare()

    def compare(self) -> None:
        assert {user for _, user in self.shop.book.accounts} == set(self.model.purses)
        for user, purse in self.model.purses.items():
            look = self.look(user)
            look.assert_adds_up()
            assert look == accounts.of_model(purse)
        book = self.shop.book
        assert accounts.used(self.model) == {
            (window.user_id, self.names.get(window.meter, window.meter), window.period, window.starts_on): (
                usage.points,
                usage.times,
            )
            for window, usage in book.usage.items()
            if usage.points or usage.times
        }

    def look(self, user: str) -> Look:
        account = self.shop.account(user)
        entries = self.shop.entries(user)
        assert [entry.seq for entry in entries] == list(range(1, account.version + 1))
        lots = account.lots + account.pending
        return Look(
            account.status,
            (account.balance, account.frozen_balance, account.pending_balance, account.debt),
            {name: getattr(account, name) for name in TOTALS},
            accounts.merged((lot.expires_at, lot.earned_at, lot.remaining, lot.frozen) for lot in lots),
            accounts.told([accounts.line_of(entry) for entry in entries]),
        )


def test_the_domain_does_what_the_model_does() -> None:
    run_state_machine_as_test(DomainMachine, settings=played(40, 50))
    assert {kind for kind, _ in DomainMachine.seen} == set(KINDS) - NOT_PLAYED
