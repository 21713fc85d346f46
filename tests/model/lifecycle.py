"""Advances an account's clock: holds time out, pending points become available, lots expire.

This is the order, and each happens as of its own moment. So the result does not depend on when the clock
advances.
"""

from collections.abc import Iterable
from datetime import datetime

from tests.model.accounts import Account, Entry, Hold, Lot, Share
from tests.model.calendars import Calendar
from tests.model.programs import Config


class Clock:
    """A tenant's rules of time during the decision of one command."""

    def __init__(self, config: Config, calendar: Calendar, command: str) -> None:
        self._config, self._calendar, self._command = config, calendar, command

    def advance(self, account: Account, moment: datetime) -> None:
        """Advance an account's clock to a moment; it never goes back."""
        account.as_of = max(account.as_of, moment)
        self.release_timed_out(account)
        self.activate_due(account)
        self.expire_due(account)

    def lets_expire(self, account: Account, moment: datetime) -> bool:
        """Whether points that are due at a moment expire."""
        bounds = (self._config.expires_not_before, account.expires_not_before)
        return (
            self._config.expire_enabled
            and not account.exempt
            and all(bound is None or moment >= bound for bound in bounds)
        )

    def has_expired(self, account: Account, lot: Lot, moment: datetime) -> bool:
        return lot.is_due(moment) and self.lets_expire(account, moment)

    def release_timed_out(self, account: Account) -> None:
        due = [
            h for h in account.holds if h.state == "open" and h.expires_at and h.expires_at <= account.as_of
        ]
        for hold in sorted(due, key=lambda hold: (hold.expires_at, hold.seq)):
            assert hold.expires_at
            moment = max(hold.expires_at, hold.opened_at)
            self.release(account, hold, hold.frozen, moment, moment, "timeout")
            hold.state = "timed_out"

    def release(
        self, account: Account, hold: Hold, points: int, moment: datetime, at: datetime, subtype: str
    ) -> Entry:
        """Return held points; those that expire last return first.

        Points whose lot has expired get a new lot for the grace, or return to their lot and expire at once.
        """
        owed = min(account.figures["debt"], points)
        entry = account.post(
            "unfreeze",
            subtype,
            points,
            at=at,
            command=self._command,
            related=hold.id,
            balance=points - owed,
            frozen=-points,
            debt=-owed,
        )
        shares = self._freed(account, hold, points, moment)
        entry.expires_at = next((share.ends for share in shares if share.is_new), None)
        account.give_back(entry, owed, shares)
        hold.released += points
        return entry

    def _freed(self, account: Account, hold: Hold, points: int, moment: datetime) -> list[Share]:
        """Return the points to give back per lot, the last expiry first."""
        shares = []
        grace = self._config.hold_grace_days
        for part in sorted(hold.parts, key=lambda part: part[0].order, reverse=True):
            lot, _, frozen = part
            freed = min(points, frozen)
            if not freed:
                continue
            points -= freed
            part[2] -= freed
            lot.frozen -= freed
            if grace and self.has_expired(account, lot, moment):
                lot.end = "expired"
                shares.append(Share(lot, freed, is_new=True, ends=self._calendar.plus_days(moment, grace)))
            else:
                shares.append(Share(lot, freed))
        assert not points
        return shares

    def activate_due(self, account: Account) -> list[Entry]:
        """Make due pending points available, with an entry per lot."""
        due = [
            lot
            for lot in account.lots
            if lot.is_pending and lot.remaining and lot.activates_at and lot.activates_at <= account.as_of
        ]
        entries = []
        for lot in sorted(due, key=lambda lot: (lot.activates_at, lot.order)):
            lot.is_pending = False
            owed = min(account.figures["debt"], lot.remaining)
            entry = account.post(
                "adjust",
                "activation",
                lot.remaining,
                at=account.as_of,
                command=self._command,
                related=lot.entry.id,
                expires_at=lot.expires_at,
                pending=-lot.remaining,
                balance=lot.remaining - owed,
                debt=-owed,
            )
            account.repay(entry, owed, [lot])
            entries.append(entry)
        return entries

    def expire_due(self, account: Account, among: Iterable[Lot] | None = None) -> list[Entry]:
        """Expire the points left in due lots, with an entry per lot."""
        if not self.lets_expire(account, account.as_of):
            return []
        lots = account.lots if among is None else among
        due = [lot for lot in lots if lot.remaining and not lot.is_pending and lot.is_due(account.as_of)]
        return [self.expire(account, lot) for lot in sorted(due, key=lambda lot: lot.order)]

    def expire(self, account: Account, lot: Lot) -> Entry:
        points = lot.remaining
        entry = account.post(
            "expire",
            "scheduled",
            points,
            at=account.as_of,
            command=self._command,
            total="expired_points",
            expires_at=lot.expires_at,
            balance=-points,
        )
        take_as_expired(entry, lot, points)
        return entry


def take_as_expired(entry: Entry, lot: Lot, points: int) -> None:
    lot.take(points, "expired")
    lot.expired += points
    entry.moves.append((lot, "expire", points))
