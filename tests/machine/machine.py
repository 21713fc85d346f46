"""Every kind of command, the clock and the programme, in any order, on the model and on a ledger.

A subclass drives the ledger and compares. Each command happens at a microsecond of its own, so that no two
lots are of one age, and nobody's own points come back to them: which of two lots of one age and expiry comes
first is for their ids to say, and an id is no business of a specification.
"""

import os
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from pointledger.domain import commands as c
from tests.domain.books import SHOP, moment
from tests.machine.model import Answer, Model
from tests.machine.programme import EVENT_TYPE, PROGRAMMES, STANDS, SWITCHES
from tests.machine.purses import Entry

USERS = st.sampled_from(["anna", "ben", "carl"])
AMOUNTS = st.integers(1, 60)
SMALL = st.integers(1, 15)
DAYS = st.integers(-1, 4)  # from now until something ends or begins; it may have been yesterday
LAGS = st.sampled_from([0, 0, 0, 0, 1, 2, 5])  # days since it happened
WHICH = st.integers(0, 7)  # of the entries so far, the newest first
HOURS = st.sampled_from([1, 7, 24, 50])
NOBODY = UUID(int=0)


def played(examples: int, steps: int, *, shrinks: bool = True) -> settings:
    """So many examples, the same ones every time; or as many others as POINTLEDGER_TEST_EXAMPLES says."""
    more = int(os.environ.get("POINTLEDGER_TEST_EXAMPLES", "0"))
    return settings(
        max_examples=more or examples,
        stateful_step_count=steps,
        derandomize=not more,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink] if shrinks else [Phase.generate],
        suppress_health_check=list(HealthCheck),  # what a step costs is the ledger's business
    )


class LedgerMachine(RuleBasedStateMachine):
    """What may be asked of a ledger."""

    seen: ClassVar[Counter[tuple[str, str]]] = Counter()  # what came of how many of a kind

    tenant = SHOP

    def __init__(self) -> None:
        super().__init__()
        self.now = moment("2026-03-27 22:00")
        self.model = Model()
        self.count = 0  # of commands
        self.shown: list[Entry] = []  # entries whose ids the ledger has told
        self.ids: dict[tuple[int, int], Any] = {}  # theirs, by command and place

    # --------------------------------------------------------------------- what drives the ledger

    def configure(self, fields: dict[str, Any]) -> None:
        """Puts the tenant's next configuration."""
        raise NotImplementedError

    def before(self, command: Any) -> None:
        """What must be done before the model goes on; nothing as a rule."""

    def send(self, number: int, command: Any, answer: Answer) -> None:
        """Hands over the command, of which `answer` should come."""
        raise NotImplementedError

    def accepted_at(self) -> datetime:
        raise NotImplementedError

    def notice_ends(self) -> datetime:
        """When expiry that is switched on now begins."""
        raise NotImplementedError

    # ----------------------------------------------------------------------------- what is the same

    @property
    def instant(self) -> datetime:
        """Now, and the command's own microsecond."""
        return self.now + timedelta(microseconds=self.count)

    def ask(
        self, kind: type[Any], user: str, lag: int = 0, *, about: Entry | None = None, **fields: Any
    ) -> None:
        self.count += 1
        when = self.instant - timedelta(days=lag)
        happened = {"as_of": when} if issubclass(kind, c.SweepCommand) else {"occurred_at": when}
        later = {name: self.instant + value for name, value in fields.items() if isinstance(value, timedelta)}
        command = kind(tenant_id=self.tenant, user_id=user, **happened, **(fields | later))
        self.before(command)
        answer = self.model.apply(command, self.accepted_at(), about)
        for place, entry in enumerate(answer.shown):
            entry.number, entry.place = self.count, place
        self.seen[kind.kind, answer.reason or "applied"] += 1
        self.send(self.count, command, answer)

    def told(self, number: int, answer: Answer, transactions: Sequence[dict[str, Any]]) -> None:
        """What an outcome shows: from now on it can be named."""
        for entry, transaction in zip(answer.shown, transactions, strict=True):
            self.ids[number, entry.place] = transaction["id"]
        self.shown += answer.shown

    def newest(self, which: int, *subtypes: str) -> Entry | None:
        """One of the entries so far, nearly always of these kinds."""
        of_kind = [entry for entry in self.shown if entry.subtype in subtypes or which == 7]
        return of_kind[-1 - which % len(of_kind)] if of_kind else None

    def id_of(self, entry: Entry | None) -> Any:
        return self.ids[entry.number, entry.place] if entry else NOBODY

    # -------------------------------------------------------------------------------- what may happen

    @initialize(programme=PROGRAMMES)
    def opens(self, programme: dict[str, Any]) -> None:
        self.configure(self.model.programme.configure(programme))
        for user, days in (("anna", 2), ("ben", 3)):
            self.ask(c.Earn, user, amount=40, expires_at=self.now + timedelta(days=days))

    @rule(hours=HOURS)
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(name=SWITCHES, stands=STANDS)
    def somebody_turns_a_switch(self, name: str, stands: bool) -> None:
        if self.model.programme.is_on(name) != stands:
            if name == "expire_enabled" and stands:
                self.model.programme.not_before = self.notice_ends()
            self.configure(self.model.programme.configure(self.model.programme.fields | {name: stands}))

    @rule(user=USERS, amount=AMOUNTS, lag=LAGS, channel=st.sampled_from([{}, {"channel": "app"}]))
    def something_happens(self, user: str, amount: int, lag: int, channel: dict[str, str]) -> None:
        event_type = EVENT_TYPE if amount % 10 else "nothing of interest"
        self.ask(c.ApplyRule, user, lag, event_type=event_type, metadata={"amount": amount, **channel})

    @rule(user=USERS, amount=AMOUNTS, lag=LAGS, days=st.none() | DAYS)
    def earn(self, user: str, amount: int, lag: int, days: int | None) -> None:
        expiry: dict[str, Any] = {} if days is None else {"expires_at": self.now + timedelta(days=days)}
        self.ask(c.Earn, user, lag, amount=amount, **expiry)

    @rule(user=USERS, amount=AMOUNTS, days=DAYS, expires=st.booleans())
    def earn_what_is_pending(self, user: str, amount: int, days: int, expires: bool) -> None:
        expiry: dict[str, Any] = {"expires_at": timedelta(days=days + 1)} if expires else {}
        self.ask(c.Earn, user, amount=amount, activates_at=timedelta(days=days), **expiry)

    @rule(user=USERS, amount=SMALL, lag=LAGS)
    def spend(self, user: str, amount: int, lag: int) -> None:
        self.ask(c.Spend, user, lag, amount=amount)

    @rule(user=USERS, other=USERS, amount=SMALL, lag=LAGS)
    def transfer(self, user: str, other: str, amount: int, lag: int) -> None:
        purse = self.model.purses.get(user)
        if purse and any(lot.origin.user == other for lot in purse.lots if lot.left or lot.frozen):
            other = user  # nobody's own points come back, see above
        self.ask(c.Transfer, user, lag, to_user_id=other, amount=amount)

    @rule(user=USERS, amount=AMOUNTS, pro_rata=st.booleans())
    def expire(self, user: str, amount: int, pro_rata: bool) -> None:
        purse = self.model.purses.get(user)
        twins = purse is not None and len({lot.order for lot in purse.lots}) < len(purse.lots)
        strategy = "pro_rata" if pro_rata and not twins else "soonest_first"
        self.ask(c.Expire, user, amount=amount, strategy=strategy)

    @rule(user=USERS, amount=SMALL, days=st.none() | DAYS)
    def freeze(self, user: str, amount: int, days: int | None) -> None:
        ends: dict[str, Any] = {} if days is None else {"expires_at": timedelta(days=days)}
        self.ask(c.Freeze, user, amount=amount, **ends)

    @rule(user=USERS, amount=SMALL)
    def unfreeze_so_many(self, user: str, amount: int) -> None:
        self.ask(c.Unfreeze, user, amount=amount)

    @rule(user=USERS, which=WHICH, amount=st.none() | SMALL)
    def unfreeze(self, user: str, which: int, amount: int | None) -> None:
        freeze = self.newest(which, "hold")
        self.ask(
            c.Unfreeze, _owner(freeze, user, which), about=freeze, hold_id=self.id_of(freeze), amount=amount
        )

    @rule(user=USERS, which=WHICH, amount=st.none() | SMALL, lag=LAGS)
    def capture(self, user: str, which: int, amount: int | None, lag: int) -> None:
        freeze, kind = self.newest(which, "hold"), c.ConfirmDeduction
        self.ask(
            kind, _owner(freeze, user, which), lag, about=freeze, hold_id=self.id_of(freeze), amount=amount
        )

    @rule(user=USERS, which=WHICH, amount=SMALL)
    def refund(self, user: str, which: int, amount: int) -> None:
        spend = self.newest(which, "purchase", "capture")
        self.ask(
            c.Refund, _owner(spend, user, which), about=spend, related_id=self.id_of(spend), amount=amount
        )

    @rule(user=USERS, amount=SMALL)
    def refund_goodwill(self, user: str, amount: int) -> None:
        self.ask(c.Refund, user, amount=amount)

    @rule(
        user=USERS,
        which=WHICH,
        amount=st.none() | SMALL,
        policy=st.sampled_from(["arrears", "arrears", "within_balance", "only_pending"]),
    )
    def clawback(self, user: str, which: int, amount: int | None, policy: str) -> None:
        earned = self.newest(which, "manual", "rule", "import")
        owner = _owner(earned, user, which)
        fields = {"related_id": self.id_of(earned), "amount": amount, "policy": policy}
        self.ask(c.Clawback, owner, about=earned, **fields)

    @rule(user=USERS, which=WHICH)
    def cancel_pending(self, user: str, which: int) -> None:
        waiting = [entry for entry in self.shown if entry.lot and entry.lot.activates_at and entry.lot.left]
        earned = waiting[-1 - which % len(waiting)] if waiting else self.newest(which, "manual", "rule")
        self.ask(c.CancelPending, _owner(earned, user, which), about=earned, related_id=self.id_of(earned))

    @rule(user=USERS, amounts=st.lists(SMALL, min_size=1, max_size=3), days=DAYS, late=st.booleans())
    def bring_an_opening_balance(self, user: str, amounts: list[int], days: int, late: bool) -> None:
        lots = tuple(
            c.OpeningLot(
                amount=amount,
                earned_at=self.now + timedelta(hours=-place, microseconds=self.count + 1),
                expires_at=self.now + timedelta(days=days + place) if place < 2 else None,
            )
            for place, amount in enumerate(amounts)
        )
        self.ask(c.ImportOpeningBalance, user, lots=lots, expired="import" if late else "reject")

    @rule(user=USERS, amount=st.integers(-20, 20).filter(bool))
    def adjust(self, user: str, amount: int) -> None:
        self.ask(c.Adjust, user, amount=amount, reason="found")

    @rule(user=USERS)
    def open_account(self, user: str) -> None:
        self.ask(c.OpenAccount, user)

    @rule(
        user=USERS, status=st.sampled_from(["active", "active", "active", "suspended", "suspended", "closed"])
    )
    def set_status(self, user: str, status: str) -> None:
        self.ask(c.SetStatus, user, status=status, reason="asked for")

    @rule(user=USERS, lag=LAGS, kind=st.sampled_from([c.ExpireDue, c.ReleaseHoldsDue, c.ActivateDue]))
    def a_sweep_comes_by(self, user: str, lag: int, kind: type[Any]) -> None:
        self.ask(kind, user, lag)


def _owner(entry: Entry | None, user: str, which: int) -> str:
    """Whose entry it is; now and then whoever."""
    return entry.user if entry and which else user
