"""A tenant's calendar: which local date and time a moment has, and at which moment a date begins.

A tenant may change its time zone. The new zone counts from its first midnight after the change was saved.
Dates never go back: while the new zone still has a date that is over, the last date goes on.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple
from zoneinfo import ZoneInfo

_SINCE_EVER = datetime.min.replace(tzinfo=UTC)
_FOR_EVER = datetime.max.replace(tzinfo=UTC)
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)
_DECEMBER = 12


class _Stretch(NamedTuple):
    """A zone while it is in force. `floor`: the last date of the zone before."""

    start: datetime
    end: datetime
    zone: ZoneInfo
    floor: date


class Calendar:
    """`changes`: when each zone was saved, and its name, the oldest first. The first counts since ever."""

    def __init__(self, changes: Iterable[tuple[datetime, str]]) -> None:
        self._stretches: list[_Stretch] = []
        for saved_at, name in changes:
            self._change(saved_at, zone_of(name))

    def _change(self, saved_at: datetime, zone: ZoneInfo) -> None:
        stretches = self._stretches
        if not stretches:
            stretches.append(_Stretch(_SINCE_EVER, _FOR_EVER, zone, date.min))
            return
        while stretches[-1].start > saved_at:  # it was replaced before it took effect
            stretches.pop()
        stretches[-1] = stretches[-1]._replace(end=_FOR_EVER)
        if stretches[-1].zone.key == zone.key:
            return
        start = _moment(saved_at.astimezone(zone).date() + _DAY, time(), zone)
        stretches[-1] = stretches[-1]._replace(end=start)
        stretches.append(_Stretch(start, _FOR_EVER, zone, self.local(start - _TICK).date()))

    def local(self, moment: datetime) -> datetime:
        """The local date and time of a moment, without a zone. The date is the one in force."""
        for stretch in reversed(self._stretches):
            if stretch.start <= moment:
                local = moment.astimezone(stretch.zone).replace(tzinfo=None)
                return (
                    local if local.date() >= stretch.floor else datetime.combine(stretch.floor, local.time())
                )
        raise AssertionError("the first stretch has no start")

    def date_of(self, moment: datetime) -> date:
        """The tenant's date at a moment."""
        return self.local(moment).date()

    def moment(self, day: date, clock: time = time()) -> datetime:
        """The moment of a local date and time, or the first one after it where it does not exist."""
        for stretch in self._stretches:
            found = max(_moment(day, clock, stretch.zone), stretch.start)
            if found < stretch.end:
                return found
        raise AssertionError("the last stretch has no end")

    def begin(self, day: date) -> datetime:
        """The moment at which a date begins."""
        return self.moment(day)

    def plus_days(self, moment: datetime, days: int) -> datetime:
        """So many calendar days later, at the same time of day."""
        local = self.local(moment)
        return self.moment(local.date() + timedelta(days=days), local.time())

    def plus_months(self, moment: datetime, months: int) -> datetime:
        """So many months later: 31 January plus one month is the last of February."""
        local = self.local(moment)
        return self.moment(_plus_months(local.date(), months), local.time())

    def end_of(self, unit: str, moment: datetime) -> datetime:
        """The end of the month, quarter or year of a moment: the moment at which the next begins."""
        day = self.date_of(moment)
        last_month = {"month": day.month, "quarter": (day.month + 2) // 3 * 3, "year": _DECEMBER}[unit]
        return self.begin(_plus_months(date(day.year, last_month, 1), 1))


@lru_cache
def zone_of(name: str) -> ZoneInfo:
    """A zone as the package tzdata has it: the machine's own data may be older."""
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


def last_day(year: int, month: int) -> int:
    """28 to 31."""
    return (_plus_months(date(year, month, 1), 1) - _DAY).day


def _plus_months(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    first = date(year, month + 1, 1)
    following = date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1)
    return first.replace(day=min(day.day, (following - first).days))


@lru_cache(maxsize=100_000)
def _moment(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """A time that occurs twice is the first one; one that is skipped is as long after the jump as it would
    have been after midnight: 00:00 is the jump itself."""
    return datetime.combine(day, clock, zone).astimezone(UTC)
