"""A tenant's calendar: the local date and time of a moment, and the moment at which a date begins.

A tenant may change its time zone. The new zone counts from its first midnight after the change was saved.
Dates never go back: while the new zone still has an earlier date, the last date continues.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple
from zoneinfo import ZoneInfo

_BEGINNING = datetime.min.replace(tzinfo=UTC)
_FOREVER = datetime.max.replace(tzinfo=UTC)
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)
_DECEMBER = 12


class _ZonePeriod(NamedTuple):
    """The time in which a zone is in force. `floor` is the last date of the zone before."""

    start: datetime
    end: datetime
    zone: ZoneInfo
    floor: date


class Calendar:
    """`changes` has each zone's time of saving and its name, the oldest first. The first always counts."""

    def __init__(self, changes: Iterable[tuple[datetime, str]]) -> None:
        self._periods: list[_ZonePeriod] = []
        for saved_at, name in changes:
            self._change(saved_at, zone_of(name))

    def _change(self, saved_at: datetime, zone: ZoneInfo) -> None:
        periods = self._periods
        if not periods:
            periods.append(_ZonePeriod(_BEGINNING, _FOREVER, zone, date.min))
            return
        while periods[-1].start > saved_at:  # it was replaced before it took effect
            periods.pop()
        periods[-1] = periods[-1]._replace(end=_FOREVER)
        if periods[-1].zone.key == zone.key:
            return
        start = _moment(saved_at.astimezone(zone).date() + _DAY, time(), zone)
        periods[-1] = periods[-1]._replace(end=start)
        periods.append(_ZonePeriod(start, _FOREVER, zone, self.local(start - _TICK).date()))

    def local(self, moment: datetime) -> datetime:
        """Return the local date and time of a moment, without a zone."""
        for period in reversed(self._periods):
            if period.start <= moment:
                local = moment.astimezone(period.zone).replace(tzinfo=None)
                return local if local.date() >= period.floor else datetime.combine(period.floor, local.time())
        raise AssertionError("the first period has no start")

    def date_of(self, moment: datetime) -> date:
        """Return the tenant's date at a moment."""
        return self.local(moment).date()

    def moment(self, day: date, clock: time = time()) -> datetime:
        """Return the moment of a local date and time, or the first moment after it if it does not exist."""
        for period in self._periods:
            found = max(_moment(day, clock, period.zone), period.start)
            if found < period.end:
                return found
        raise AssertionError("the last period has no end")

    def begin(self, day: date) -> datetime:
        """Return the moment at which a date begins."""
        return self.moment(day)

    def plus_days(self, moment: datetime, days: int) -> datetime:
        """Return the moment so many calendar days later, at the same time of day."""
        local = self.local(moment)
        return self.moment(local.date() + timedelta(days=days), local.time())

    def plus_months(self, moment: datetime, months: int) -> datetime:
        """Return the moment so many months later: January 31 plus one month is the last day of February."""
        local = self.local(moment)
        return self.moment(_plus_months(local.date(), months), local.time())

    def end_of(self, unit: str, moment: datetime) -> datetime:
        """Return the end of a moment's month, quarter or year, which is the start of the next one."""
        day = self.date_of(moment)
        last_month = {"month": day.month, "quarter": (day.month + 2) // 3 * 3, "year": _DECEMBER}[unit]
        return self.begin(_plus_months(date(day.year, last_month, 1), 1))


@lru_cache
def zone_of(name: str) -> ZoneInfo:
    """Load a zone from the package tzdata, because the system's data may be older."""
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


def last_day(year: int, month: int) -> int:
    """Return the last day of a month, 28 to 31."""
    return (_plus_months(date(year, month, 1), 1) - _DAY).day


def _plus_months(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    first = date(year, month + 1, 1)
    following = date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1)
    return first.replace(day=min(day.day, (following - first).days))


@lru_cache(maxsize=100_000)
def _moment(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """Return the moment of a local time in a zone.

    A time that occurs twice is the first one. A skipped time counts from the jump: 00:00 is the jump itself.
    """
    return datetime.combine(day, clock, zone).astimezone(UTC)
