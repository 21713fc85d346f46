"""What the model's commands have in common: guards, time that passes, limits, and entries, each being what
differs between before and after."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from pointledger.domain.outcomes import Reason
from tests.machine.programme import TIMEZONE, ModelRule, Programme
from tests.machine.purses import NEVER, Entry, Hold, Lot, Purse, take

Told = tuple[dict[str, int], list[Entry]]  # an outcome's numbers, and the entries that it shows


class No(Exception):
    def __init__(self, reason: Reason) -> None:
        self.reason = reason


class Ground:
    """The purses, and how much of each limit is used."""

    def __init__(self) -> None:
        self.programme = Programme()
        self.purses: dict[str, Purse] = {}
        self.points: Counter[tuple[str, str, str, date]] = Counter()  # by user, meter, period, start
        self.times: Counter[tuple[str, str, str, date]] = Counter()

    def _must_be_on(self, name: str) -> None:
        if not self.programme.is_on(name):
            raise No(Reason.FEATURE_DISABLED)

    def _must_have(self, purse: Purse, amount: int) -> None:
        if amount > purse.balance:
            raise No(Reason.INSUFFICIENT_BALANCE)

    def _purse(self, user: str, *not_while: str) -> Purse:
        purse = self.purses.get(user)
        if purse is None:
            raise No(Reason.ACCOUNT_NOT_FOUND)
        if purse.status in not_while:
            raise No(Reason.ACCOUNT_SUSPENDED if purse.status == "suspended" else Reason.ACCOUNT_CLOSED)
        return purse

    def _known(self, user: str, at: datetime, *not_while: str) -> Purse | None:
        """The account, time having passed on it; None where one would be opened."""
        if user not in self.purses:
            return None
        purse = self._purse(user, *not_while)
        self._touch(purse, at)
        return purse

    def _new(self, user: str, at: datetime) -> Purse:
        return self.purses.setdefault(user, Purse(user, at))

    @contextmanager
    def _entry(self, purse: Purse, subtype: str, amount: int, at: datetime) -> Iterator[Entry]:
        before, entry = purse.sums, Entry(purse.user, subtype, amount, at)
        yield entry
        entry.changes = tuple(now - then for now, then in zip(purse.sums, before, strict=True))
        purse.entries.append(entry)

    def _grant(
        self, purse: Purse, subtype: str, amount: int, at: datetime, ends: datetime | None,
        *, earned_at: datetime | None = None, activates_at: datetime | None = None,
        rule: ModelRule | None = None,
    ) -> Entry:  # fmt: skip
        with self._entry(purse, subtype, amount, at) as entry:
            entry.rule = rule
            entry.lot = self._put(purse, Lot(amount, earned_at or at, ends, entry, entry, activates_at))
        return entry

    def _put(self, purse: Purse, lot: Lot) -> Lot:
        purse.lots.append(lot)
        if not lot.activates_at:
            self._repay(purse, lot)
        return lot

    def _repay(self, purse: Purse, lot: Lot) -> None:
        """Whatever becomes available repays debt first."""
        share = min(purse.debt, lot.left)
        lot.left -= share
        purse.debt -= share

    def _renew(self, purse: Purse, lot: Lot, amount: int, moment: datetime, grace: str) -> None:
        ends = self._later(moment, self.programme.fields[grace])
        self._put(purse, Lot(amount, lot.earned_at, ends, lot.origin))

    def _grace(self, name: str, moment: datetime) -> bool:
        return self.programme.lets_expire(moment) and self.programme.fields[name] > 0

    def _touch(self, purse: Purse, at: datetime) -> list[Entry]:
        """Time passes: holds time out, then what is pending and due becomes available, then lots expire."""
        written = len(purse.entries)
        purse.clock = max(purse.clock, at)
        due = [hold for hold in purse.holds if hold.is_open and (hold.ends_at or NEVER) <= purse.clock]
        for hold in sorted(due, key=lambda hold: hold.ends_at or NEVER):
            moment = max(hold.ends_at or NEVER, hold.opened_at)
            self._release(purse, hold, hold.held, "timeout", moment, moment)
        for lot in sorted(purse.pending, key=lambda lot: lot.activates_at or NEVER):
            if (lot.activates_at or NEVER) <= purse.clock:
                with self._entry(purse, "activation", lot.left, purse.clock):
                    lot.activates_at = None
                    self._repay(purse, lot)
        self._expire_due(purse)
        return purse.entries[written:]

    def _expire_due(self, purse: Purse) -> list[Entry]:
        if not self.programme.lets_expire(purse.clock):
            return []
        written = []
        for lot in purse.available:
            if lot.is_due(purse.clock):
                with self._entry(purse, "scheduled", lot.left, purse.clock) as entry:
                    entry.expired_at = lot.expires_at
                    lot.expired += lot.left
                    lot.left = 0
                written.append(entry)
        return written

    def _room(self, purse: Purse | None) -> int:
        balance, _, pending, debt = purse.sums if purse else (0, 0, 0, 0)
        return self.programme.most("max_balance") - balance - pending + debt

    def _default_end(self, at: datetime) -> datetime | None:
        days = self.programme.fields.get("default_expiry_days")
        return self._later(at, days) if days else None

    def _later(self, at: datetime, days: int) -> datetime:
        local = at.astimezone(ZoneInfo(TIMEZONE)).replace(tzinfo=None) + timedelta(days=days)
        return local.replace(tzinfo=ZoneInfo(TIMEZONE)).astimezone(UTC)

    def _left(
        self, user: str, rule: ModelRule, limit: tuple[str, str, int], at: datetime, wanted: int
    ) -> int:
        period, unit, most = limit
        key = (user, rule.name, period, _starts(period, at))
        if unit == "times":
            return wanted if self.times[key] < most else 0
        return max(most - self.points[key], 0)

    def _left_today(self, user: str, meter: str, at: datetime) -> int:
        return self.programme.most(f"max_{meter}_per_day") - self.points[user, meter, "day", _day(at)]

    def _count(self, user: str, meter: str, period: str, at: datetime, points: int) -> None:
        if meter in ("earn", "spend") and not self.programme.fields.get(f"max_{meter}_per_day"):
            return
        self.points[user, meter, period, _starts(period, at)] += points
        self.times[user, meter, period, _starts(period, at)] += 1

    def _release(
        self, purse: Purse, hold: Hold, amount: int, subtype: str, moment: datetime, at: datetime
    ) -> Entry:
        """The latest expiry comes back first; into a lot with grace where the lot's time has passed."""
        with self._entry(purse, subtype, amount, at) as entry:
            for share in sorted(hold.shares, key=lambda share: share[0].order, reverse=True):
                lot, part = share[0], min(share[1], amount)
                if not part:
                    continue
                amount -= part
                share[1] -= part
                lot.frozen -= part
                if lot.is_due(moment) and self._grace("hold_grace_days", moment):
                    self._renew(purse, lot, part, moment, "hold_grace_days")
                    continue
                lot.left += part
                self._repay(purse, lot)
        hold.is_open = hold.held > 0
        return entry

    def _take_back(
        self, purse: Purse, earned: Entry, lots: list[Lot], paid: int, debt: int, at: datetime
    ) -> Entry:
        with self._entry(purse, "clawback", paid + debt, at) as entry:
            take(lots, paid)
            purse.debt += debt
        earned.undone += entry.amount
        if _day(at) == _day(earned.at):  # on the day on which they were earned they make room again
            meters = ["earn"] if earned.subtype != "import" else []
            if earned.rule and any(period == "day" for period, _, _ in earned.rule.limits):
                meters.append(earned.rule.name)
            for meter in meters:
                key = (purse.user, meter, "day", _day(at))
                self.points[key] = max(self.points[key] - entry.amount, 0)
        return entry


def _day(at: datetime) -> date:
    return at.astimezone(ZoneInfo(TIMEZONE)).date()


def _starts(period: str, at: datetime) -> date:
    day = _day(at)
    return {"day": day, "week": day - timedelta(days=day.isoweekday() - 1)}.get(period, date.min)
