"""A small ledger to compare the real one with: written from the specification, slow and plain."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pointledger.domain import commands as c
from pointledger.domain.outcomes import Reason
from tests.machine.ground import No, Told
from tests.machine.holds import Holds
from tests.machine.programme import EVENT_TYPE, RULES
from tests.machine.purses import Entry, Lot, Purse, take, take_pro_rata

SWEEPS = {
    "expire-due": ("points_expired", "scheduled"),
    "activate-due": ("points_activated", "activation"),
    "release-holds-due": ("points_released", "timeout"),
}


@dataclass
class Answer:
    """What a command's outcome should be."""

    reason: Reason | None
    numbers: dict[str, int] = field(default_factory=dict)
    shown: list[Entry] = field(default_factory=list)


class Model(Holds):
    """`apply` does what a command should do and says what should come of it."""

    def apply(self, command: Any, accepted_at: datetime, related: Entry | None = None) -> Answer:
        """`related`: the entry that the command names, if there is one."""
        at = command.as_of if isinstance(command, c.SweepCommand) else command.occurred_at
        believed = self.programme.fields.get("backdating_days")
        if at is None or at > accepted_at:
            at = accepted_at
        elif not isinstance(command, c.SweepCommand) and believed is not None:
            at = accepted_at if accepted_at - at > timedelta(days=believed) else at
        try:
            numbers, shown = self._do(command, at, related)
        except No as no:
            return Answer(no.reason)
        return Answer(None, numbers, shown)

    def _do(self, command: Any, at: datetime, related: Entry | None) -> Told:
        match command:
            case c.SweepCommand():
                return self._look(command, at)
            case c.Unfreeze() | c.ConfirmDeduction() | c.Refund() | c.Clawback() | c.CancelPending():
                return self.REVERSALS[command.kind](self, command, at, related)
            case _:
                return self.DEEDS[command.kind](self, command, at)

    def _look(self, command: c.SweepCommand, at: datetime) -> Told:
        """What a sweep asks for is what happens whenever somebody looks."""
        written = self._touch(self._purse(command.user_id, "closed"), at)
        name, subtype = SWEEPS[command.kind]
        done = [entry for entry in written if entry.subtype == subtype]
        shown = done if command.kind == "release-holds-due" else []
        return {name: sum(entry.amount for entry in done)}, shown

    # ------------------------------------------------------------------------- earning and spending

    def _event(self, command: c.ApplyRule, at: datetime) -> Told:
        self._must_be_on("earn_enabled")
        purse = self._known(command.user_id, at, "suspended", "closed")
        asked = RULES if command.event_type == EVENT_TYPE else ()
        balance = purse.balance if purse else 0
        wanted = [(rule, rule.wants(command.metadata, balance)) for rule in asked]
        wants = {rule: points for rule, points in wanted if points is not None}
        rivals = [rule for rule in wants if rule.group]
        best = max(rivals, key=lambda rule: wants[rule], default=None)  # the first of equals
        wants = {rule: points for rule, points in wants.items() if not rule.group or rule is best}
        if not wants:
            raise No(Reason.NO_MATCHING_RULE)
        shown, refused = [], False
        for rule, points in wants.items():
            left = [self._left(command.user_id, rule, limit, at, points) for limit in rule.limits]
            granted = min([points, *left])
            if rule.refuses and granted < points:
                refused = True
                continue
            granted = max(min(granted, self._left_today(command.user_id, "earn", at), self._room(purse)), 0)
            if not granted:
                continue
            purse = purse or self._new(command.user_id, at)
            for period in {period for period, _, _ in rule.limits}:
                self._count(command.user_id, rule.name, period, at, granted)
            self._count(command.user_id, "earn", "day", at, granted)
            ends = self._later(at, rule.days) if rule.days else self._default_end(at)
            shown.append(self._grant(purse, "rule", granted, at, ends, rule=rule))
        if refused and not shown:
            raise No(Reason.LIMIT_REACHED)
        self.purses.setdefault(command.user_id, Purse(command.user_id, at))
        return {"points_earned": sum(entry.amount for entry in shown)}, shown

    def _earn(self, command: c.Earn, at: datetime) -> Told:
        self._must_be_on("earn_enabled")
        purse = self._known(command.user_id, at, "suspended", "closed")
        if command.amount > self._left_today(command.user_id, "earn", at):
            raise No(Reason.LIMIT_REACHED)
        if command.amount > self._room(purse):
            raise No(Reason.MAX_BALANCE)
        purse = purse or self._new(command.user_id, at)
        self._count(command.user_id, "earn", "day", at, command.amount)
        starts = command.activates_at if command.activates_at and command.activates_at > at else at
        ends = command.expires_at or self._default_end(starts)
        waits = starts if starts > purse.clock else None
        entry = self._grant(purse, "manual", command.amount, at, ends, activates_at=waits)
        return {"points_earned": command.amount}, [entry]

    def _spend(self, command: c.Spend, at: datetime) -> Told:
        self._must_be_on("spend_enabled")
        purse = self._purse(command.user_id, "suspended", "closed")
        self._touch(purse, at)
        if command.amount < self.programme.fields["min_spend_points"]:
            raise No(Reason.BELOW_MINIMUM)
        if command.amount > self._left_today(command.user_id, "spend", at):
            raise No(Reason.LIMIT_REACHED)
        self._must_have(purse, command.amount)
        self._count(command.user_id, "spend", "day", at, command.amount)
        with self._entry(purse, "purchase", command.amount, at) as entry:
            entry.shares = take(purse.available, command.amount)
        return {}, [entry]

    def _transfer(self, command: c.Transfer, at: datetime) -> Told:
        self._must_be_on("transfer_enabled")
        if command.user_id == command.to_user_id:
            raise No(Reason.SELF_TRANSFER)
        sender, recipient = (
            self._purse(command.user_id, "suspended", "closed"),
            self.purses.get(command.to_user_id),
        )
        if recipient is None:
            raise No(Reason.RECIPIENT_NOT_FOUND)
        if recipient.status != "active":
            raise No(Reason.RECIPIENT_INACTIVE)
        self._touch(sender, at)
        self._touch(recipient, at)
        if command.amount > self._room(recipient):
            raise No(Reason.MAX_BALANCE)
        self._must_have(sender, command.amount)
        with self._entry(sender, "transfer_out", command.amount, at) as entry:
            shares = take(sender.available, command.amount)
        with self._entry(recipient, "transfer_in", command.amount, at):
            for lot, share in shares:
                self._put(recipient, Lot(share, lot.earned_at, lot.expires_at, lot.origin))
        return {}, [entry]

    def _expire(self, command: c.Expire, at: datetime) -> Told:
        purse = self._purse(command.user_id, "closed")
        self._touch(purse, at)
        settled = min(command.amount, purse.balance)
        if not settled:
            return {"settled": 0}, []
        with self._entry(purse, "manual expiry", settled, at) as entry:
            shares = take_pro_rata if command.strategy == "pro_rata" else take
            for lot, share in shares(purse.available, settled):
                lot.expired += share
        return {"settled": settled}, [entry]

    # ----------------------------------------------------------------------------------- reversals

    def _refund(self, command: c.Refund, at: datetime, related: Entry | None) -> Told:
        purse = self._purse(command.user_id, "closed")
        self._touch(purse, at)
        if command.related_id is None:
            return {}, [self._grant(purse, "goodwill", command.amount, at, self._default_end(at))]
        spend = _reversible(purse, related, ("purchase", "capture"), command.amount)
        spend.undone += command.amount
        with self._entry(purse, "linked", command.amount, at) as entry:
            repaid = min(purse.debt, command.amount)
            purse.debt -= repaid
            rest = command.amount - repaid
            for share in reversed(spend.shares):
                lot, part = share[0], min(share[1], rest)
                rest -= part
                share[1] -= part
                if part and lot.is_due(purse.clock) and self.programme.lets_expire(purse.clock):
                    self._renew(purse, lot, part, purse.clock, "refund_grace_days")
                else:
                    lot.left += part
        self._expire_due(purse)
        return {}, [entry]

    def _clawback(self, command: c.Clawback, at: datetime, related: Entry | None) -> Told:
        purse = self._purse(command.user_id, "closed")
        self._touch(purse, at)
        earned = _reversible(purse, related, ("rule", "manual", "import"), command.amount or 1)
        assert earned.lot, "what earns brings a lot"
        asked = command.amount or earned.amount - earned.undone
        due = max(min(asked, earned.amount - earned.undone - purse.expired_of(earned)), 0)
        own = earned.lot.left if earned.lot.activates_at or command.policy != "only_pending" else 0
        paid, debt = min(due, own), 0
        others = [lot for lot in purse.available if lot is not earned.lot]
        if not earned.lot.activates_at and command.policy != "only_pending":
            rest = due - paid
            paid += min(rest, sum(lot.left for lot in others))
            debt = due - paid if command.policy == "arrears" else 0
        told = {"requested": asked, "clawed_back": paid + debt, "debt_added": debt}
        if not paid + debt:
            return told, []
        return told, [self._take_back(purse, earned, [earned.lot, *others], paid, debt, at)]

    def _cancel(self, command: c.CancelPending, at: datetime, related: Entry | None) -> Told:
        purse = self._purse(command.user_id, "closed")
        self._touch(purse, at)
        earned = _reversible(purse, related, ("rule", "manual", "import"), 1)
        if not earned.lot or earned.lot not in purse.pending:
            raise No(Reason.RELATED_NOT_REVERSIBLE)
        entry = self._take_back(purse, earned, [earned.lot], earned.lot.left, 0, at)
        return {"clawed_back": entry.amount}, [entry]

    # ------------------------------------------------------------------------------- administrators

    def _open(self, command: c.ImportOpeningBalance, at: datetime) -> Told:
        purse = self._known(command.user_id, at, "suspended", "closed")
        clock = purse.clock if purse else at
        kept = [
            lot
            for lot in command.lots
            if command.expired == "import" or not (lot.expires_at and lot.expires_at <= clock)
        ]
        purse = purse or self._new(command.user_id, at)
        shown = []
        for lot in kept:
            earned_at = min(lot.earned_at or at, at)
            shown.append(self._grant(purse, "import", lot.amount, at, lot.expires_at, earned_at=earned_at))
        gone = sum(entry.amount for entry in self._expire_due(purse)) if command.expired == "import" else 0
        earned = sum(lot.amount for lot in kept)
        rejected = sum(lot.amount for lot in command.lots) - earned
        return {"points_earned": earned, "points_rejected": rejected, "points_expired": gone}, shown

    def _adjust(self, command: c.Adjust, at: datetime) -> Told:
        if command.amount < 0:
            self._purse(command.user_id)
        purse = self._known(command.user_id, at, "closed")
        if command.amount > 0:
            if command.amount > self._room(purse):
                raise No(Reason.MAX_BALANCE)
            purse = purse or self._new(command.user_id, at)
            return {}, [self._grant(purse, "given", command.amount, at, self._default_end(at))]
        assert purse, "or it was refused"
        self._must_have(purse, -command.amount)
        with self._entry(purse, "taken", -command.amount, at) as entry:
            take(purse.available, -command.amount)
        return {}, [entry]

    def _open_account(self, command: c.OpenAccount, at: datetime) -> Told:
        if command.user_id in self.purses:
            raise No(Reason.ACCOUNT_EXISTS)
        self._new(command.user_id, at)
        return {}, []

    def _set_status(self, command: c.SetStatus, at: datetime) -> Told:
        purse = self._purse(command.user_id, "closed")
        self._touch(purse, at)
        shown = []
        if command.status == "closed":
            if any(hold.is_open for hold in purse.holds):
                raise No(Reason.OPEN_HOLDS)
            for lots in (purse.available, purse.pending):
                if points := sum(lot.left for lot in lots):
                    with self._entry(purse, "forfeit", points, at) as entry:
                        take(lots, points)
                    shown.append(entry)
        purse.status = command.status
        return {"points_forfeited": sum(entry.amount for entry in shown)}, shown

    DEEDS: ClassVar[dict[str, Callable[..., Told]]] = {
        "apply-rule": _event,
        "earn": _earn,
        "spend": _spend,
        "transfer": _transfer,
        "expire": _expire,
        "freeze": Holds.freeze,
        "import-opening-balance": _open,
        "adjust": _adjust,
        "open-account": _open_account,
        "set-status": _set_status,
    }
    REVERSALS: ClassVar[dict[str, Callable[..., Told]]] = {
        "unfreeze": Holds.unfreeze,
        "confirm-deduction": Holds.capture,
        "refund": _refund,
        "clawback": _clawback,
        "cancel-pending": _cancel,
    }


def _reversible(purse: Purse, entry: Entry | None, subtypes: tuple[str, ...], amount: int) -> Entry:
    if entry is None:
        raise No(Reason.RELATED_NOT_FOUND)
    left = entry.amount - entry.undone
    if entry.user != purse.user or entry.subtype not in subtypes or amount > left:
        raise No(Reason.RELATED_NOT_REVERSIBLE)
    return entry
