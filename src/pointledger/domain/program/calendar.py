"""A tenant's calendar: which local date and time a moment has, and when a date begins.

A tenant may change its time zone. The new one counts from its first midnight after the change was saved, and
until then everything local is the old zone's. Dates never go back: as long as the new zone still has a date
that is over, the last date goes on. So each date is one stretch of time, no window of a limit is opened
again, and what was used today stays used. A date over which a change leaps has no stretch.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, WithJsonSchema

from pointledger.domain.values.fields import Moment
from pointledger.domain.values.models import Part

_SINCE_EVER, _FOR_EVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    return frozenset((files("tzdata") / "zones").read_text().split())


@lru_cache(maxsize=1024)  # there are about 600 zones
def zone(name: str) -> ZoneInfo:
    """The IANA zone of this name, from the package tzdata: days must not depend on a machine's zone files.

    Raises ValueError.
    """
    if name not in _zone_names():
        raise ValueError("not an IANA time zone, like Europe/Berlin")
    with (files("tzdata") / "zoneinfo").joinpath(*name.split("/")).open("rb") as rules:
        return ZoneInfo.from_file(rules, key=name)


def _zone_name(name: str) -> str:
    zone(name)
    return name


_SCHEMA = {"type": "string", "format": "iana-time-zone", "examples": ["Europe/Berlin"]}

ZoneName = Annotated[str, AfterValidator(_zone_name), WithJsonSchema(_SCHEMA)]


class FormerZone(Part):
    """A zone that counted, or still counts, until a moment."""

    timezone: ZoneName
    until: Moment


class _Span(NamedTuple):
    """A zone while it counts; `floor` is the last date before."""

    since: datetime
    until: datetime
    zone: str
    floor: date


@dataclass(frozen=True)
class Calendar:
    """The zones that have counted, one after the other; the first since ever."""

    spans: tuple[_Span, ...]
    _last: tuple[datetime, datetime] | None = field(default=None, init=False, compare=False, repr=False)

    def local(self, moment: datetime) -> datetime:
        """The local date and time of a moment, without a zone."""
        if self._last and self._last[0] is moment:  # a decision asks many times about one moment
            return self._last[1]
        local = self._local(moment)
        object.__setattr__(self, "_last", (moment, local))
        return local

    def _local(self, moment: datetime) -> datetime:
        span = self.spans[-1]
        if moment < span.since:
            span = next(each for each in self.spans if moment < each.until)
        shown = moment.astimezone(zone(span.zone)).replace(tzinfo=None)
        return shown if shown.date() >= span.floor else datetime.combine(span.floor, shown.time())

    def instant(self, local: datetime) -> datetime:
        """Local time to UTC. A time that the clocks skip is read as before the jump, which lands after it;
        of a repeated time the first is meant (PEP 495, fold=0). What a change of zone leaps over is the
        moment of the change."""
        for span in self.spans[:-1]:
            moment = _moment(local, span)
            if moment < span.until:
                return moment
        return _moment(local, self.spans[-1])


def _moment(local: datetime, span: _Span) -> datetime:
    return max(local.replace(tzinfo=zone(span.zone)).astimezone(UTC), span.since)


def calendar_of(timezone: str, former: tuple[FormerZone, ...]) -> Calendar:
    """The calendar of a tenant that is in a zone now, or soon, and was in others."""
    spans: list[_Span] = []
    since, floor = _SINCE_EVER, date.min
    for each in former:
        spans.append(_Span(since, each.until, each.timezone, floor))
        since, floor = each.until, Calendar(tuple(spans)).local(each.until - timedelta.resolution).date()
    spans.append(_Span(since, _FOR_EVER, timezone, floor))
    return Calendar(tuple(spans))


def changed(
    timezone: str, former: tuple[FormerZone, ...], becomes: str, now: datetime
) -> tuple[FormerZone, ...]:
    """The former zones when a tenant that is in `timezone` changes to another now: its own until the first
    midnight of the new one. A change that has not taken effect yet never does."""
    if former and former[-1].until > now:
        timezone, former = former[-1].timezone, former[:-1]
    if timezone == becomes:
        return former
    tomorrow = now.astimezone(zone(becomes)).date() + timedelta(days=1)
    midnight = datetime.combine(tomorrow, time.min, zone(becomes)).astimezone(UTC)
    return (*former, FormerZone(timezone=timezone, until=midnight))
