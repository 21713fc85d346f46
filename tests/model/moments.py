"""Chooses the moments of a history: often just before, at or after something is due."""

import random
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from tests.model.accounts import Account
from tests.model.calendars import Calendar, zone_of

TICK = timedelta(microseconds=1)
_YEARS = (2013, 2024)
_STEPS = (
    timedelta(),
    timedelta(seconds=1),
    timedelta(minutes=17),
    timedelta(hours=1),
    timedelta(hours=5),
    timedelta(days=1),
    timedelta(days=3),
    timedelta(days=31),
)
_STEP_WEIGHTS = (8, 6, 6, 8, 8, 6, 3, 1)
_NEAR = timedelta(days=40)


def start_of_history(chance: random.Random, zone: str) -> datetime:
    """Return a random start, often shortly before a daylight saving switch or a year's end."""
    if zone == "Pacific/Apia" and chance.random() < 0.7:
        return datetime(2011, 12, 28, chance.randrange(24), tzinfo=UTC)
    year = chance.randint(*_YEARS)
    day = date(year, 1, 1) + timedelta(days=chance.randrange(365))
    if chance.random() < 0.4:
        switches = _switches(year, zone_of(zone))
        day = chance.choice(switches or [date(year, 12, 30)]) - timedelta(days=chance.randrange(4))
    return datetime.combine(day, time(chance.randrange(24), chance.randrange(60)), UTC)


def _switches(year: int, zone: ZoneInfo) -> list[date]:
    days = [datetime(year, 1, 1, 12, tzinfo=UTC) + timedelta(days=nth) for nth in range(365)]
    offsets = [day.astimezone(zone).utcoffset() for day in days]
    return [
        day.date()
        for day, was, becomes in zip(days[1:], offsets, offsets[1:], strict=False)
        if was != becomes
    ]


class Timeline:
    """The current moment of a history, and its next ones."""

    def __init__(self, chance: random.Random, start: datetime, end: datetime) -> None:
        self._chance, self.now, self._end = chance, start, end

    def advance(self, account: Account | None, calendar: Calendar) -> datetime:
        """Return the next moment: a step later, near something due on an account, or near a midnight."""
        how = self._chance.random()
        moment = self.now + self._chance.choices(_STEPS, _STEP_WEIGHTS)[0]
        if how < 0.35 and account:
            moment = self._at_something_due(account) or moment
        elif how < 0.5:
            following = calendar.date_of(self.now) + timedelta(days=1)
            moment = calendar.begin(following) + self._chance.choice((-TICK, timedelta(), TICK))
        self.now = min(max(self.now, moment), self._end)
        if self._chance.random() < 0.1:  # a late arrival
            return self.now - self._chance.choice((TICK, timedelta(hours=7), timedelta(days=2)))
        return self.now

    def _at_something_due(self, account: Account) -> datetime | None:
        due = [hold.expires_at for hold in account.holds if hold.state == "open"]
        for lot in account.lots:
            if lot.remaining or lot.frozen:
                due += [lot.activates_at if lot.is_pending else None, lot.expires_at]
        near = [moment for moment in due if moment and self.now <= moment <= self.now + _NEAR]
        if not near:
            return None
        return self._chance.choice(near) + self._chance.choice((-TICK, timedelta(), TICK))

    def later(self, calendar: Calendar) -> datetime:
        """Return a later moment at which something expires, becomes available or times out."""
        how = self._chance.random()
        if how < 0.3:
            return calendar.begin(calendar.date_of(self.now) + timedelta(days=self._chance.choice((1, 2, 7))))
        if how < 0.4:
            return self.now + self._chance.choice((timedelta(), -timedelta(hours=1)))
        return self.now + self._chance.choices(_STEPS[1:], _STEP_WEIGHTS[1:])[0]
